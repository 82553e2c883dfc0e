"""How well features do where only a few samples have labels."""

from statistics import mean, stdev
from typing import NamedTuple
from warnings import catch_warnings, simplefilter

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from maskedae.evaluation import Features
from maskedae.sampling import permutation

STRENGTH = 4000.0  # the inverse of MSN's decay


class LowShot(NamedTuple):
    """Accuracies on held-out samples, over draws of the labelled ones."""

    accuracies: list[float]

    @property
    def mean(self) -> float:
        """Of the draws."""
        return mean(self.accuracies)

    @property
    def deviation(self) -> float:
        """Standard deviation of the draws; 0 for a single one."""
        return stdev(self.accuracies) if len(self.accuracies) > 1 else 0.0


def settings(labels: Tensor, shares: list[float], shots: list[int]) -> dict[str, list[int]]:
    """How many samples to draw of each class, by a setting's name; what labels cannot give is not.

    A share has to give every class a sample, and so many per class have to be there.
    """
    counts = np.unique(labels.numpy(), return_counts=True)[1].tolist()
    found = {f"{100 * share:.3g} %": [round(share * count) for count in counts] for share in shares}
    found |= {f"{shot} per class": [shot] * len(counts) for shot in shots}
    return {
        name: drawn
        for name, drawn in found.items()
        if all(0 < want <= have for want, have in zip(drawn, counts, strict=True))
    }


def draw(labels: Tensor, counts: list[int], seed: int) -> Tensor:
    """Draw so many samples of each class: (n,) -> (m,) indices."""
    parts = [(labels == number).nonzero()[:, 0] for number in np.unique(labels.numpy()).tolist()]
    return torch.cat(
        [
            part[torch.from_numpy(permutation(len(part), seed, number))[:count]]
            for number, (part, count) in enumerate(zip(parts, counts, strict=True))
        ]
    )


def low_shot(train: Features, held_out: Features, counts: list[int], seeds: int) -> LowShot:
    """Score logistic regression on a few samples of each class, as MSN does (arXiv:2204.07141).

    Features are centred by the mean of the samples with labels, then L2-normalised; decay, and no
    bias, as in MSN's code. Held-out features are centred by the same mean, where that code takes
    their own.
    """
    found = []
    for seed in range(seeds):
        chosen = draw(train.labels, counts, seed)
        centre = train.vectors[chosen].mean(0)
        few, tested = (
            F.normalize(part - centre, dim=1) for part in (train.vectors[chosen], held_out.vectors)
        )
        # With fewer samples than dimensions the weights lie in the span of the samples: the result
        # is the same in its basis, and sooner there.
        basis = torch.linalg.qr(few.T)[0]
        probe = LogisticRegression(C=STRENGTH, max_iter=1000, fit_intercept=False)
        with catch_warnings():
            simplefilter("ignore", ConvergenceWarning)  # a thousand rounds say enough of a score
            probe.fit((few @ basis).numpy(), train.labels[chosen].numpy())
        found.append(float(probe.score((tested @ basis).numpy(), held_out.labels.numpy())))
    return LowShot(found)
