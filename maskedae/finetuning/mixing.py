"""Mixing samples of a micro-batch, and their labels with them."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import v2

from maskedae.answers import Answers


class Mixing:
    """mixup (arXiv:1710.09412) or cutmix (arXiv:1905.04899); a coin decides where both are on.

    Neighbours in a micro-batch are partners. Published code draws one share for a whole batch; here
    every pair has its own, by its seed, so that numbers do not depend on how a batch is divided.
    """

    def __init__(self, answers: Answers, mixup: float, cutmix: float) -> None:
        self.answers = answers
        self.kinds: list[Any] = [v2.MixUp(alpha=float(mixup))] if mixup else []
        self.kinds += [v2.CutMix(alpha=float(cutmix))] if cutmix else []

    def __call__(self, signal: Tensor, labels: Tensor, seeds: list[int]) -> tuple[Tensor, Tensor]:
        """Mix (B, C, *size), B even, and labels; these become shares (B, outputs) or values (B, 1).

        There is a seed for every pair.
        """
        if not self.kinds:
            return signal, labels
        if self.answers.kind == "class":
            labels = F.one_hot(labels, self.answers.outputs)
        shares = labels.float().view(len(labels), -1)
        # A box lies in the last two axes, and is the same all along the others.
        flat = signal.flatten(1, -3) if signal.ndim > 4 else signal
        with torch.random.fork_rng(devices=[]):
            pairs = [
                self._mix(flat[2 * n : 2 * n + 2], shares[2 * n : 2 * n + 2], seed)
                for n, seed in enumerate(seeds)
            ]
        mixed, shares = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        return mixed.view_as(signal), shares

    def _mix(self, signal: Tensor, shares: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        torch.default_generator.manual_seed(seed)
        chosen = self.kinds[int(torch.randint(len(self.kinds), ()))]
        return chosen(signal, shares)
