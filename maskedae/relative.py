"""How far apart patches are, as a part of what they attend to (arXiv:2112.01526, section 4.1)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Relative(nn.Module):
    """What queries add to their scores by how far off a key is, down and across.

    The sum for every query and key would be as large as attention itself. Queries and keys get more
    values instead, whose products are these sums, so that kernels which never write attention down
    do not here, either. What is learned begins with nothing.
    """

    def __init__(self, sides: tuple[int, int], width: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.zeros(2 * sides[0] - 1, width))
        self.across = nn.Parameter(torch.zeros(2 * sides[1] - 1, width))

    def widen(
        self, q: Tensor, k: Tensor, v: Tensor, sides: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """3 x (B, heads, h w, d), patches of a grid (h, w) -> 3 x (.., d + h + w or a little more).

        Kernels divide scores by the root of the width, which is undone for the share of distances.
        Zeros make it a multiple of 8, without which some of them refuse.
        """
        (h, w), d = sides, q.shape[-1]
        grid, total = q.reshape(*q.shape[:2], h, w, d), -(-(d + h + w) // 8) * 8
        down = torch.einsum("bnhwd,hkd->bnhwk", grid, between(self.down, h).to(q.dtype))
        across = torch.einsum("bnhwd,wkd->bnhwk", grid, between(self.across, w).to(q.dtype))
        beside = torch.cat([down, across], dim=-1).flatten(2, 3) * total**0.5
        rows = torch.eye(h, device=q.device, dtype=q.dtype).repeat_interleave(w, dim=0)
        columns = torch.eye(w, device=q.device, dtype=q.dtype).repeat(h, 1)
        where = torch.cat([rows, columns], dim=-1).expand(*k.shape[:2], -1, -1)
        q = torch.cat([q * (total / d) ** 0.5, beside], dim=-1)
        over = total - d - h - w
        return (
            F.pad(q, (0, over)),
            F.pad(torch.cat([k, where], -1), (0, over)),
            F.pad(v, (0, total - d)),
        )


def between(table: Tensor, side: int) -> Tensor:
    """Rows of the distances from each of so many places to each: (2 n - 1, d) -> (side, side, d).

    >>> between(torch.arange(5.0)[:, None], 2)[..., 0]
    tensor([[2., 1.],
            [3., 2.]])
    """
    places = torch.arange(side, device=table.device)
    return table[places[:, None] - places + len(table) // 2]
