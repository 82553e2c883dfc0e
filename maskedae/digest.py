"""Digests: the features of a fixed signal in a few numbers, to compare machines and libraries."""

import math

import torch
from torch import Tensor

from maskedae.encoder import Encoder
from maskedae.pairs import make_signal

TOLERANCE = 1e-3


def fixed_signal(shape: tuple[int, ...]) -> Tensor:
    """Sines that anyone can compute, element j being sin(.01 j^1.1): (C, *size) -> (1, C, *size).

    >>> fixed_signal((1, 2, 2)).flatten().tolist()[:2]
    [0.0, 0.009999833069741726]
    """
    steps = torch.arange(math.prod(shape), dtype=torch.float64)
    return (0.01 * steps**1.1).sin().float().view(1, *shape)


@torch.no_grad()
def digest(encoder: Encoder) -> str:
    """Deviation, mean size, first, middle and last of the tokens of the fixed signal."""
    training = encoder.training
    signal = make_signal(encoder.shape, fixed_signal).to(next(encoder.parameters()).device)
    tokens = encoder.eval().forward_features(signal).flatten().float()
    encoder.train(training)
    some = [tokens.std(), tokens.abs().mean(), tokens[0], tokens[len(tokens) // 2], tokens[-1]]
    return " ".join(f"{value:.5f}" for value in some)


def check_digest(found: str, expected: str) -> None:
    """Raise ValueError where two digests are not of the same weights."""
    try:
        wanted = [float(value) for value in expected.split()]
    except ValueError as error:
        raise ValueError(f"{expected!r} is no digest, five numbers that import prints") from error
    numbers = [float(value) for value in found.split()]
    apart = [abs(a - b) / max(1, abs(b)) for a, b in zip(numbers, wanted, strict=False)]
    if len(wanted) != len(numbers) or not max(apart) <= TOLERANCE:
        raise ValueError(f"the digest is {found}, not {expected}: these are other weights")
