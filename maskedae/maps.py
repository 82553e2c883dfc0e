"""Feature maps of pictures of any size, for feature pyramids."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from maskedae.relative import Relative
from maskedae.transformer import keep_paths
from maskedae.units import places
from maskedae.windowed import Windows

if TYPE_CHECKING:
    from maskedae.hierarchy import Hierarchy
    from maskedae.vit import VisionTransformer

Area = tuple[int, int]  # mask units down and across that a picture takes, from the grid's corner


class Maps(nn.Module, ABC):
    """What makes maps of what an encoder sees; it has parameters beside the encoder's.

    A picture lies in the corner of a canvas of the encoder's size. The rest is not visible, as what
    is hidden in pre-training, so that no result depends on what is there.
    """

    widths: list[int]  # channels of every map
    strides: list[int]  # pixels from one place of a map to the next
    layered: ClassVar[tuple[str, ...]] = ()  # names of parameters that go with blocks, by number

    @abstractmethod
    def forward(self, canvas: Tensor, area: Area, noise: Tensor | None = None) -> list[Tensor]:
        """(B, C, *size), noise of dropped paths (B, noise_size) -> (B, D, h, w) for each stride."""


def corner(grid: Sequence[int], area: Area, batch: int, device: torch.device) -> Tensor | None:
    """Numbers of the units in the corner of a grid: (B, h w); None where they are all.

    >>> corner((3, 4), (2, 2), 1, torch.device("cpu"))
    tensor([[0, 1, 4, 5]])
    """
    if area == tuple(grid):
        return None
    down, across = (torch.arange(side, device=device) for side in area)
    return (down[:, None] * grid[1] + across).flatten().expand(batch, -1)


class PlainMap(Maps):
    """The last map of a vision transformer most of whose blocks look about in windows.

    (arXiv:2203.16527, section 3.) Windows that reach beyond the picture find zeros there, as in the
    official code; a few blocks look everywhere.
    """

    layered = (r"relative\.(\d+)",)

    def __init__(
        self, encoder: "VisionTransformer", window: int, wide: Sequence[int], relative: bool
    ) -> None:
        super().__init__()
        self.widths, self.strides = [encoder.width], [encoder.unit[0]]
        self.owner = (encoder,)  # in a tuple, for its parameters are not these
        self.window, self.wide = window, set(wide)
        down, across = encoder.grid
        sides = [
            (down, across) if n in self.wide else (window, window) for n in range(encoder.depth)
        ]
        each = encoder.width // encoder.blocks[0].attn.heads
        made = (Relative(side, each) for side in sides)
        self.relative = nn.ModuleList(made) if relative else None

    def forward(self, canvas: Tensor, area: Area, noise: Tensor | None = None) -> list[Tensor]:
        """(B, C, *size) -> (B, D, h, w)."""
        (encoder,) = self.owner
        visible = corner(encoder.grid, area, len(canvas), canvas.device)
        x = encoder.tokens(canvas, visible)[:, encoder.prefix :]
        paths = None if noise is None else noise[:, : 2 * encoder.depth]
        keeps = keep_paths(encoder.blocks, x, paths)
        for number in range(encoder.depth):
            look = partial(self._look, number, area)
            x = encoder.blocks.step(number, x, keeps, look=look)
        return [x.transpose(1, 2).reshape(len(x), -1, *area)]

    def _look(self, number: int, area: Area, x: Tensor) -> Tensor:
        """What attention of a block makes of normalised tokens of a picture: (B, h w, D)."""
        (encoder,) = self.owner
        sides = area if number in self.wide else (self.window, self.window)
        windows = Windows(area, sides, (0, 0))
        widen = None
        if self.relative is not None:
            table: Relative = self.relative[number]  # type: ignore[assignment]
            widen = partial(table.widen, sides=sides)
        pieces = windows.cut(x)
        looked = encoder.blocks[number].attn(pieces.flatten(0, 1), widen=widen)
        return windows.join(looked.view(pieces.shape))


class StageMaps(Maps):
    """The map at the end of every stage of a hierarchical encoder, each with a norm of its own."""

    def __init__(self, encoder: "Hierarchy") -> None:
        super().__init__()
        encoder.tuned = True  # which pools on entering the last stage, too
        info = encoder.feature_info
        self.widths = [one["num_chs"] for one in info]
        self.strides = [one["reduction"] for one in info]
        self.owner = (encoder,)
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=encoder.eps) for width in self.widths)

    def forward(self, canvas: Tensor, area: Area, noise: Tensor | None = None) -> list[Tensor]:
        """(B, C, *size) -> (B, D, h, w) for every stage."""
        (encoder,) = self.owner
        visible = corner(encoder.grid, area, len(canvas), canvas.device)
        maps, steps = list[Tensor](), encoder.embed.steps
        ends = zip(self.norms, encoder.stages(canvas, visible, noise), strict=True)
        for stage, (norm, x) in enumerate(ends):
            halvings = encoder.num_layers - 1 - stage
            back = places(area, steps, halvings).flatten().argsort().to(x.device)
            rows = norm(x).flatten(1, 2).index_select(1, back)
            grid = [n * step**halvings for n, step in zip(area, steps, strict=True)]
            maps.append(rows.transpose(1, 2).reshape(len(x), -1, *grid))
        return maps
