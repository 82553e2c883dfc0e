"""Mixing samples of a micro-batch, and their labels with them."""

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import v2

from maskedae.answers import Answers
from maskedae.pairs import Pair


class Mixing:
    """mixup (arXiv:1710.09412) or cutmix (arXiv:1905.04899); a coin decides where both are on.

    Neighbours in a micro-batch are partners, or a `share` of them. Published code draws one weight
    for a whole batch; here every pair has its own, by its seed, so that numbers do not depend on
    how a batch is divided. Samples are mixed as they are read, before they become signals.
    """

    def __init__(self, answers: Answers, mixup: float, cutmix: float, share: float = 1.0) -> None:
        self.answers, self.share, self.cut = answers, share, bool(cutmix)
        self.kinds: list[Any] = [v2.MixUp(alpha=float(mixup))] if mixup else []
        self.kinds += [v2.CutMix(alpha=float(cutmix))] if cutmix else []

    def __call__(self, samples: Any, labels: Tensor, seeds: list[int]) -> tuple[Any, Tensor]:
        """Mix (B, C, ...), B even, and labels; these become shares (B, outputs) or values (B, 1).

        There is a seed for every two. A sample that ends early does so mixed, too. Sound and
        picture are mixed alike, but not where one of two lacks either.
        """
        if not self.kinds:
            return samples, labels
        if self.answers.kind == "class":
            labels = F.one_hot(labels, self.answers.outputs)
        shares = labels.float().view(len(labels), -1)
        assert not (isinstance(samples, Pair) and self.cut), "boxes are pasted into pictures alone"
        if not isinstance(samples, Pair):
            return self._mix_all(samples, shares, seeds)
        audio, mixed = self._mix_all(samples.audio, shares, seeds)
        video, _ = self._mix_all(samples.video, shares, seeds)
        there = (samples.heard & samples.seen).view(-1, 2).all(dim=1).repeat_interleave(2)
        parts = (audio, samples.audio), (video, samples.video), (mixed, shares)
        audio, video, shares = (choose(there, *part) for part in parts)
        return replace(samples, audio=audio, video=video), shares

    def _mix_all(self, samples: Tensor, shares: Tensor, seeds: list[int]) -> tuple[Tensor, Tensor]:
        # A box lies in the last two axes, and is the same all along the others.
        flat = samples.float().view(len(samples), -1, *(1, *samples.shape[2:])[-2:])
        with torch.random.fork_rng(devices=[]):
            pairs = [
                self._mix(flat[2 * n : 2 * n + 2], shares[2 * n : 2 * n + 2], seed)
                for n, seed in enumerate(seeds)
            ]
        mixed, shares = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        return mixed.view_as(samples), shares

    def _mix(self, samples: Tensor, shares: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        torch.default_generator.manual_seed(seed)
        chosen = self.kinds[int(torch.randint(len(self.kinds), ()))]
        if self.share < 1 and float(torch.rand(())) >= self.share:
            return samples, shares
        mixed, shares = chosen(samples.nan_to_num(), shares)
        return mixed.masked_fill(samples.isnan(), torch.nan), shares


def choose(which: Tensor, these: Tensor, others: Tensor) -> Tensor:
    """These samples where `which` (B,) is true, else the others: 2 x (B, ...) -> (B, ...)."""
    return torch.where(which.view(-1, *[1] * (these.ndim - 1)), these, others)
