"""maskedae models [PATTERN]."""

from functools import partial

import torch

from maskedae.flops import encoder_flops, pretraining_flops
from maskedae.pairs import in_words
from maskedae.zoo import create_model, list_models

USAGE = """usage: maskedae models [PATTERN]

Lists the models whose names match, such as "mae_*": what they take, what of it is hidden as one,
parameters of the encoder and of the whole, and floating-point operations for one sample: of the
encoder when it sees all of it to classify, and of a forward pass of pre-training, where most is
hidden."""


def main(arguments: list[str]) -> int:
    """List models; return the exit status."""
    if any(argument.startswith("-") for argument in arguments):
        print(USAGE)
        return 0
    names = list_models(*arguments[:1])
    if not names:
        raise ValueError(f"no model matches {arguments[0]}; there are {', '.join(list_models())}")
    heads = ("model", "takes", "mask unit", "encoder", "whole", "encoder", "pre-training")
    rows = [heads, *(measure(name) for name in names)]
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = sum(wide[:3]) + 6
    print(f"{'':<{left}}{'parameters / M':<{sum(wide[3:5]) + 4}}GFLOPs per sample")
    for row in rows:
        words = [f"{word:<{n}}" for word, n in zip(row[:3], wide, strict=False)]
        numbers = [f"{word:>{n}}" for word, n in zip(row[3:], wide[3:], strict=True)]
        print("  ".join(words + numbers))
    return 0


def measure(name: str) -> tuple[str, ...]:
    """A model's name and measures."""
    build = partial(create_model, name)
    with torch.device("meta"):
        model = build()
    parts = [sum(p.numel() for p in part.parameters()) / 1e6 for part in (model.encoder, model)]
    costs = [count(build) / 1e9 for count in (encoder_flops, pretraining_flops)]
    takes, unit = map(in_words, (model.encoder.shape, model.encoder.unit))
    return name, takes, unit, *(f"{number:.1f}" for number in (*parts, *costs))
