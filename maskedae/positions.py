"""Where a patch stands: position tables for grids of any number of axes and any aspect."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskedae.codes import drawn, resample, resized, rows_of, sincos, sinusoid, stretch_line
from maskedae.layouts import State


class Positions(nn.Module):
    """A table with a row for every patch of a grid, after the rows of the prefix tokens.

    A table that is not stored never learns, and no file holds it.
    """

    def __init__(
        self,
        table: Tensor,
        grid: tuple[int, ...],
        prefix: int = 0,
        learned: bool = False,
        stored: bool = True,
    ) -> None:
        super().__init__()
        self.grid, self.prefix = grid, prefix
        self.table: Tensor  # (1, prefix + N, D)
        if stored:
            self.table = nn.Parameter(table.unsqueeze(0), requires_grad=learned)
        else:
            self.register_buffer("table", table.unsqueeze(0), persistent=False)

    @classmethod
    def sincos(cls, grid: tuple[int, ...], width: int, prefix: int = 0) -> "Positions":
        """Fixed sine-cosine codes; zeros for the prefix tokens."""
        return cls(F.pad(sincos(grid, width), (0, 0, prefix, 0)), grid, prefix)

    @classmethod
    def learned(cls, grid: tuple[int, ...], width: int, prefix: int = 0) -> "Positions":
        """Learned codes, drawn from a normal distribution of 0.02, cut at 2."""
        rows = prefix + torch.Size(grid).numel()
        table = nn.init.trunc_normal_(torch.empty(rows, width), std=0.02)
        return cls(table, grid, prefix, learned=True)

    @classmethod
    def counted(cls, grid: tuple[int, ...], width: int) -> "Positions":
        """Fixed codes of a patch's number, row-major, whatever the grid; they are not stored."""
        return cls(sinusoid(torch.Size(grid).numel(), width), grid, stored=False)

    def prefixed(self) -> Tensor:
        """Rows of the prefix tokens: (1, prefix, D)."""
        return self.table[:, : self.prefix]

    def forward(self, index: Tensor | None = None) -> Tensor:
        """Rows of the chosen patches: (B, K) -> (B, K, D); without an index, (1, N, D)."""
        return rows_of(self.table, self.prefix, index)

    def told(self, old: tuple[int, ...]) -> str:
        """How `stretch` goes about it, in words."""
        return "bicubic"

    def stretch(self, tables: State, old: tuple[int, ...]) -> State:
        """The tables of another grid for this one."""
        table = tables["table"][0]
        rows = resample(table[self.prefix :], old, self.grid)
        return {"table": torch.cat([table[: self.prefix], rows]).unsqueeze(0)}


class FixedPositions(nn.Module):
    """Sine-cosine codes that files hold but no training changes; the first axis is unlike others.

    A place along it keeps its code in a shorter signal, as time does. Codes stand in the order of
    the grid, or in that of the grid with its axes `swapped`: every patch has one of its own then,
    too, but those of neighbours along the first axis are no neighbours. Where patches are `marked`,
    a mark that is learned adds to all codes, to tell them from those of other signals.
    """

    def __init__(
        self,
        grid: tuple[int, ...],
        width: int,
        prefix: int = 0,
        swapped: bool = False,
        marked: bool = False,
    ) -> None:
        super().__init__()
        self.grid, self.prefix = grid, prefix
        self.mark = nn.Parameter(torch.empty(1, 1, width).normal_(std=0.02)) if marked else None
        codes = sincos(grid[::-1] if swapped else grid, width)
        self.table: Tensor  # (1, prefix + N, D)
        self.register_buffer("table", F.pad(codes, (0, 0, prefix, 0)).unsqueeze(0))

    def prefixed(self) -> Tensor:
        """Rows of the prefix tokens: (1, prefix, D)."""
        return self.table[:, : self.prefix]

    def forward(self, index: Tensor | None = None) -> Tensor:
        """Rows of the chosen patches: (B, K) -> (B, K, D); without an index, (1, N, D)."""
        rows = rows_of(self.table, self.prefix, index)
        return rows if self.mark is None else rows + self.mark

    def told(self, old: tuple[int, ...]) -> str:
        """How `stretch` goes about it, in words."""
        kept, first = self.grid[0] < old[0], ""
        if self.grid[0] != old[0]:
            how = "the first are kept" if kept else "cubic"
            first = f"first axis {old[0]} -> {self.grid[0]}, {how}"
        others = f"others {old[1:]} -> {self.grid[1:]}, cubic" if old[1:] != self.grid[1:] else ""
        return "; ".join(part for part in (first, others) if part)

    def stretch(self, tables: State, old: tuple[int, ...]) -> State:
        """The tables of another grid for this one, every axis on its own."""
        table, slots = tables["table"][0], min(old[0], self.grid[0])
        prefix, codes = table[: self.prefix], table[self.prefix :].view(*old, -1)[:slots]
        rows = resample(codes, (slots, *old[1:]), self.grid)
        return {**tables, "table": torch.cat([prefix, rows]).unsqueeze(0)}


class SeparablePositions(nn.Module):
    """Learned codes of places along the first axis, and across the others, that add up.

    (arXiv:2205.09113, section 3.)
    """

    def __init__(self, grid: tuple[int, ...], width: int, prefix: int = 0) -> None:
        super().__init__()
        self.grid, self.prefix = grid, prefix
        self.along = drawn(1, grid[0], width)
        self.across = drawn(1, torch.Size(grid[1:]).numel(), width)
        self.prefix_table = drawn(1, prefix, width) if prefix else None

    def prefixed(self) -> Tensor:
        """Rows of the prefix tokens: (1, prefix, D)."""
        return self.across[:, :0] if self.prefix_table is None else self.prefix_table

    def forward(self, index: Tensor | None = None) -> Tensor:
        """Rows of the chosen patches: (B, K) -> (B, K, D); without an index, (1, N, D)."""
        rows = (self.along[:, :, None] + self.across[:, None]).flatten(1, 2)
        return rows_of(rows, 0, index)

    def begin(self, tables: State, old: tuple[int, ...]) -> State:
        """Tables by those of a grid without the first axis, along which nothing is added."""
        rows = tables["table"][0]
        prefix = len(rows) - torch.Size(old).numel()
        across = resample(rows[prefix:], old, self.grid[1:]).unsqueeze(0)
        fitted = {"along": across.new_zeros(self.along.shape), "across": across}
        return fitted | ({"prefix_table": rows[None, :prefix]} if prefix else {})

    def told(self, old: tuple[int, ...]) -> str:
        """How `stretch` goes about it, in words."""
        first = f"time {old[0]} -> {self.grid[0]}, linear" if old[0] != self.grid[0] else ""
        others = f"space {old[1:]} -> {self.grid[1:]}, bicubic" if old[1:] != self.grid[1:] else ""
        return "; ".join(part for part in (first, others) if part)

    def stretch(self, tables: State, old: tuple[int, ...]) -> State:
        """The tables of another grid for this one; a line between places, as few are learned."""
        along = stretch_line(tables["along"], self.grid[0])
        across = resample(tables["across"][0], old[1:], self.grid[1:]).unsqueeze(0)
        return {**tables, "along": along, "across": across}


class WindowPositions(nn.Module):
    """Learned codes of places within a mask unit, the same in all, and of places in the signal.

    The second are few and stretched over the grid, whatever its size, so that a larger signal
    leaves the first as they were learned (arXiv:2311.05613, section 4). A third axis in front, such
    as time, has codes of its own, which add up.
    """

    def __init__(self, grid: tuple[int, ...], unit: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.grid, self.prefix = grid, 0
        plane, sides = grid[-2:], unit[-2:]
        coarse = tuple(2 * n // side for n, side in zip(plane, sides, strict=True))
        self.table = drawn(1, width, *coarse)
        self.tile = drawn(1, width, *sides)
        self.along = drawn(1, grid[0], width) if len(grid) == 3 else None
        for axis, (few, many) in enumerate(zip(coarse, plane, strict=True)):
            self.register_buffer(f"spread{axis}", resized(few, many), persistent=False)

    def prefixed(self) -> Tensor:
        """Rows of the prefix tokens, of which there are none: (1, 0, D)."""
        return self.table.flatten(2).transpose(1, 2)[:, :0]

    def plane(self) -> Tensor:
        """Codes of places in the last two axes, as one table: (1, N', D)."""
        whole = self.spread0 @ self.table @ self.spread1.T  # type: ignore[operator]
        repeats = [n // side for n, side in zip(whole.shape[2:], self.tile.shape[2:], strict=True)]
        return (whole + self.tile.tile(repeats)).flatten(2).transpose(1, 2)

    def forward(self, index: Tensor | None = None) -> Tensor:
        """Rows of the chosen patches: (B, K) -> (B, K, D); without an index, (1, N, D)."""
        rows = self.plane()
        if self.along is not None:
            rows = (self.along[:, :, None] + rows[:, None]).flatten(1, 2)
        return rows_of(rows, 0, index)

    def told(self, old: tuple[int, ...]) -> str:
        """How `stretch` goes about it, in words."""
        first = f"time {old[0]} -> {self.grid[0]}, linear; " if old[:-2] != self.grid[:-2] else ""
        return first + "bicubic, those within mask units as they are"

    def begin(self, tables: State, old: tuple[int, ...]) -> State:
        """Tables by those of a grid without the first axis, along which nothing is added."""
        assert self.along is not None
        along = torch.zeros_like(self.along)
        return self.stretch({**tables, "along": along}, (self.grid[0], *old))

    def stretch(self, tables: State, old: tuple[int, ...]) -> State:
        """The tables of another grid for this one."""
        table = tables["table"].float()
        down, across = (
            resized(few, many)
            for few, many in zip(table.shape[2:], self.table.shape[2:], strict=True)
        )
        fitted = {**tables, "table": (down @ table @ across.T).to(tables["table"].dtype)}
        if self.along is not None:
            fitted["along"] = stretch_line(tables["along"], self.grid[0])
        return fitted


Places = Positions | SeparablePositions | FixedPositions | WindowPositions
