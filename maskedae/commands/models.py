"""maskedae models [PATTERN]."""

from functools import partial

import torch

from maskedae.flops import encoder_flops, pretraining_flops
from maskedae.zoo import create_model, list_models, model_config

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
    wide = max(map(len, names))
    print(f"{'':<{wide}}  {'':<18}  {'':<11}  parameters / M   GFLOPs per sample")
    heads = f"{'takes':<18}  {'mask unit':<11}  encoder  whole   encoder  pre-training"
    print(f"{'model':<{wide}}  {heads}")
    for name in names:
        print(f"{name:<{wide}}  {line(name)}")
    return 0


def line(name: str) -> str:
    """A model's measures, in columns."""
    config, build = model_config(name), partial(create_model, name)
    with torch.device("meta"):
        model = build()
    parts = [sum(p.numel() for p in part.parameters()) / 1e6 for part in (model.encoder, model)]
    whole, step = (f(build, config.channels) / 1e9 for f in (encoder_flops, pretraining_flops))
    shape, unit = (" x ".join(map(str, sides)) for sides in (config.shape, model.encoder.unit))
    return f"{shape:<18}  {unit:<11}  {parts[0]:7.1f}  {parts[1]:5.1f}   {whole:7.1f}  {step:12.1f}"
