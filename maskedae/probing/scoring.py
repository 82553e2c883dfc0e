"""All scores of all candidates, by one protocol."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from maskedae.evaluation import Features, knn_accuracies, spread
from maskedae.probing.candidates import Samples
from maskedae.probing.clusters import cluster_scores
from maskedae.probing.linear import Grid, Labelled, linear_grid
from maskedae.probing.low_shot import low_shot, settings
from maskedae.probing.spectrum import alpha_req, dispersion, mean_cosine, rank_me
from maskedae.progress import Meter

MOST = 25_600  # samples that the scores without labels look at, as published for RankMe
UNLABELLED = {
    "RankMe": rank_me,
    "alpha-ReQ": alpha_req,
    "dispersion": dispersion,
    "mean cosine": mean_cosine,
}


@dataclass(frozen=True)
class Protocol:
    """What is scored."""

    k: list[int] = field(default_factory=lambda: [10, 20, 100, 200])  # neighbours that vote
    shares: list[float] = field(default_factory=lambda: [0.01, 0.1])  # of labels, for low-shot
    shots: list[int] = field(default_factory=lambda: [1, 5, 10])  # labels per class, for low-shot
    seeds: int = 5  # draws of few labels

    def __post_init__(self) -> None:
        if not self.k or min(self.k) < 1 or self.seeds < 1:
            raise ValueError(f"k is {self.k}, seeds {self.seeds}; 1 or more would fit")


class Score(NamedTuple):
    """A number, which may be the mean of several draws."""

    value: float
    deviation: float | None = None  # standard deviation of the draws
    draws: list[float] | None = None


class Scores(NamedTuple):
    """All scores of one candidate."""

    what: str
    labelled: dict[str, Score]  # between 0 and 1, more is better; none without labels
    unlabelled: dict[str, Score]
    grid: Grid | None


class Scorer:
    """Scores candidates, and tells how far it is.

    All scores but the linear probe's are of the first feature of a candidate.
    """

    def __init__(self, protocol: Protocol, device: torch.device) -> None:
        self.protocol, self.device = protocol, device

    def __call__(self, train: Samples, held_out: Samples | None) -> list[Scores]:
        """Score all candidates; without a held-out split, only what needs no labels."""
        shots = {}
        if held_out is not None and train.labels is not None:
            shots = settings(train.labels, self.protocol.shares, self.protocol.shots)
        steps = len(train.columns) * (1 + (held_out is not None) * (3 + len(shots)))
        with Meter("scoring", steps) as self.meter:
            return [self._candidate(what, train, held_out, shots) for what in train.columns]

    def _candidate(
        self, what: str, train: Samples, held_out: Samples | None, shots: dict[str, list[int]]
    ) -> Scores:
        vectors = next(iter(train.columns[what].values()))
        some = vectors[spread(len(vectors), MOST)]
        free = {name: Score(function(some)) for name, function in UNLABELLED.items()}
        self._tell(what)
        if held_out is None or train.labels is None or held_out.labels is None:
            return Scores(what, {}, free, None)
        bank = Features(vectors, train.labels, [])
        queries = Features(next(iter(held_out.columns[what].values())), held_out.labels, [])
        knn = knn_accuracies(bank, queries, self.protocol.k)
        scores = {f"kNN, k = {k}": Score(value) for k, value in knn.items()}
        self._tell(what)
        grid = linear_grid(
            Labelled(train.columns[what], train.labels),
            Labelled(held_out.columns[what], held_out.labels),
            self.device,
        )
        scores["linear probe"] = Score(grid.chosen.held_out)
        self._tell(what)
        for name, counts in shots.items():
            drawn = low_shot(bank, queries, counts, self.protocol.seeds)
            scores[f"low-shot, {name}"] = Score(drawn.mean, drawn.deviation, drawn.accuracies)
            self._tell(what)
        count = len(np.unique(queries.labels.numpy()))
        found = cluster_scores(queries.vectors, queries.labels, count)
        scores |= {f"k-means {name}": Score(value) for name, value in found.items()}
        self._tell(what)
        return Scores(what, scores, free, grid)

    def _tell(self, what: str) -> None:
        self.meter.update(self.meter.done + 1, {"at": what})
