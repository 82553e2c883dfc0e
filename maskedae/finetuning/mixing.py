"""Mixing samples of a micro-batch, and their labels with them."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import v2

from maskedae.answers import Answers


class Mixing:
    """mixup (arXiv:1710.09412) or cutmix (arXiv:1905.04899); a coin decides where both are on.

    The neighbour in the micro-batch is the partner of a sample, and one share holds for all, as
    published; so numbers depend on the size of a micro-batch.
    """

    def __init__(self, answers: Answers, mixup: float, cutmix: float) -> None:
        self.answers = answers
        self.kinds: list[Any] = [v2.MixUp(alpha=mixup)] if mixup else []
        self.kinds += [v2.CutMix(alpha=cutmix)] if cutmix else []

    def __call__(self, signal: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """Mix (B, C, *size) and labels; these become shares (B, outputs), or values (B, 1)."""
        if not self.kinds:
            return signal, labels
        if self.answers.kind == "class":
            labels = F.one_hot(labels, self.answers.outputs)
        shares = labels.float().view(len(labels), -1)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            chosen = self.kinds[int(torch.randint(len(self.kinds), ()))]
            mixed: tuple[Tensor, Tensor] = chosen(signal, shares)
        return mixed
