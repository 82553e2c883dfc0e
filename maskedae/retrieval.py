"""Retrieval: how near the sound of a film is to its pictures, among those of all films."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

KS = (1, 5, 10)
SAME = 1e-7  # cosines that differ by less are the same: vectors are rounded
MOST = 2**23  # cosines that are held at once


class Places(NamedTuple):
    """Where the counterpart of every query stands among all candidates."""

    nearer: Tensor  # (n,) candidates that are nearer than it
    level: Tensor  # (n,) candidates that are as near as it, itself among them

    @property
    def ranks(self) -> Tensor:
        """From 1; of candidates that are level, the mean of their ranks: (n,)."""
        return self.nearer + (self.level + 1) / 2


class Recall(NamedTuple):
    """How well queries find their counterparts."""

    at: dict[int, float]  # per k, the share of queries that find it among the k nearest
    median: float  # rank


@torch.autocast("cpu", enabled=False)  # type: ignore[untyped-decorator]
def both_ways(audio: Tensor, video: Tensor) -> tuple[Places, Places]:
    """Places by cosine, of pictures asked for by sound and back: (n, D), (n, D) -> 2 x (n,).

    Row i of one is the counterpart of row i of the other.
    """
    if audio.shape != video.shape:
        raise ValueError(f"{tuple(audio.shape)} and {tuple(video.shape)} are no pairs of vectors")
    a, v = (F.normalize(part.double(), dim=1) for part in (audio, video))
    right = (a * v).sum(dim=1)
    if not right.isfinite().all():
        raise ValueError("some vectors are not finite, so nothing is near them or far from them")
    count = len(right)
    by_audio, by_video = ([torch.zeros(count, dtype=torch.int64) for _ in range(2)] for _ in "av")
    step = max(1, MOST // max(count, 1))
    for rows in (slice(start, start + step) for start in range(0, count, step)):
        cosines = a[rows] @ v.T
        ahead = cosines - right[rows, None]
        by_audio[0][rows] = (ahead > SAME).sum(dim=1)
        by_audio[1][rows] = (ahead.abs() <= SAME).sum(dim=1)
        ahead = cosines - right
        by_video[0] += (ahead > SAME).sum(dim=0)
        by_video[1] += (ahead.abs() <= SAME).sum(dim=0)
    return Places(*by_audio), Places(*by_video)


def measure(places: Places, ks: Sequence[int] = KS) -> Recall:
    """Recall at every k that is less than the candidates, and the median rank.

    Candidates that are level stand in any order, all equally likely, so that vectors that are all
    the same score what chance does.
    """
    known = [k for k in ks if k < len(places.nearer)]
    nearer, level = (part.double() for part in places)
    found = {k: ((k - nearer) / level).clamp(0, 1).mean().item() for k in known}
    return Recall(found, float(np.median(places.ranks.numpy())))


def chance(count: int, ks: Sequence[int] = KS) -> Recall:
    """What candidates in any order, all equally likely, would score.

    >>> chance(20)
    Recall(at={1: 0.05, 5: 0.25, 10: 0.5}, median=10.5)
    """
    return Recall({k: k / count for k in ks if k < count}, (count + 1) / 2)


def nearest(queries: Tensor, candidates: Tensor, count: int) -> Tensor:
    """Numbers of the nearest candidates by cosine: (q, D), (n, D) -> (q, count)."""
    cosines = F.normalize(queries, dim=1) @ F.normalize(candidates, dim=1).T
    return cosines.argsort(dim=1, descending=True, stable=True)[:, :count]
