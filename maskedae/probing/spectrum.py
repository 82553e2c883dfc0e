"""Scores without labels: how many dimensions features use, and whether they have collapsed."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

FIRST = 2  # eigenvalues that alpha-ReQ leaves out: the largest follow no power law
FLOOR = 1e-6  # of the largest eigenvalue: what is below is taken for noise


def singular_values(features: Tensor) -> Tensor:
    """Singular values, largest first, by way of the smaller of both Gram matrices: (n, D)."""
    values = features.double()
    gram = values.T @ values if values.shape[0] > values.shape[1] else values @ values.T
    return torch.linalg.eigvalsh(gram).flip(0).clamp(min=0).sqrt()


def rank_me(features: Tensor) -> float:
    """Effective rank (RankMe, arXiv:2210.02885): (n, D).

    The exponential of the entropy of the singular values, not centred. It compares settings of one
    method on the same samples; high is necessary for good features, not sufficient.
    """
    values = singular_values(features)
    share = values / values.sum() + 1e-7
    return float((-(share * share.log()).sum()).exp())


def alpha_req(features: Tensor) -> float:
    """How fast the eigenvalues of the covariance decay, as j^-alpha (arXiv:2202.05808): (n, D).

    About 1 is good. Alpha is a least-squares slope of log eigenvalue over log j, from the third
    eigenvalue to the last above a millionth of the largest, each weighted by 1/j, so that every
    octave counts the same. NaN where fewer than three are left.
    """
    eigenvalues = singular_values(features - features.mean(0)).square().numpy()
    number = np.arange(1, len(eigenvalues) + 1)
    fit = (number > FIRST) & (eigenvalues > FLOOR * eigenvalues[0])
    if fit.sum() < 3:
        return float("nan")
    x, y, weight = np.log(number[fit]), np.log(eigenvalues[fit]), 1 / number[fit]
    x = x - np.average(x, weights=weight)
    return float(-(weight * x * y).sum() / (weight * x * x).sum())


def dispersion(features: Tensor) -> float:
    """1 where vectors point everywhere alike, 0 where all have collapsed into one: (n, D).

    The mean deviation of a dimension of normalised vectors, times sqrt(D) (arXiv:2011.10566).
    """
    units = F.normalize(features.double(), dim=1)
    return float(units.std(0, correction=0).mean() * units.shape[1] ** 0.5)


def mean_cosine(features: Tensor) -> float:
    """Mean cosine of two samples; 1 where all have collapsed into one: (n, D)."""
    units = F.normalize(features.double(), dim=1)
    count = len(units)
    return float((units.sum(0).square().sum() - count) / (count * (count - 1)))
