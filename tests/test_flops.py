"""Operations and parameters of every model equal those of the paper's formulas, by hand."""

import math
from functools import partial

import pytest
import torch

from maskedae.flops import encoder_flops, pretraining_flops
from maskedae.zoo import create_model, list_models, model_config

NAMES = list_models("mae_vit_*")


def linear(tokens, values, width):
    """Two operations for every multiply-add."""
    return 2 * tokens * values * width


def blocks(tokens, width, depth):
    """Queries, keys, values, output, an MLP four times as wide; products of all with all, twice."""
    products = 2 * linear(tokens, width, tokens)
    return depth * (linear(tokens, width, (3 + 1 + 4 + 4) * width) + products)


def measures(c):
    """Patches, visible ones, hidden ones, values in a patch."""
    patches = math.prod(s // p for s, p in zip(c.size, c.patch, strict=True))
    visible = int(patches * 0.25)
    return patches, visible, patches - visible, c.channels * math.prod(c.patch)


def flops_of_encoder(c, seen):
    """Only what is seen is embedded; the class token goes along from there."""
    return linear(seen, measures(c)[3], c.width) + blocks(seen + 1, c.width, c.depth)


def last_block(tokens, asking, width):
    """All tokens are projected; only those asking look around and pass the MLP."""
    products = 2 * linear(asking, width, tokens)
    return linear(tokens, width, 3 * width) + products + linear(asking, width, (1 + 4 + 4) * width)


def flops_of_pretraining(c):
    """The decoder works on all tokens; its last block and its head on hidden ones only."""
    patches, visible, hidden, values = measures(c)
    return (
        flops_of_encoder(c, visible)
        + linear(visible + 1, c.width, c.decoder_width)
        + blocks(patches + 1, c.decoder_width, c.decoder_depth - 1)
        + last_block(patches + 1, hidden, c.decoder_width)
        + linear(hidden, c.decoder_width, values)
    )


def parameters(c):
    """Weights and biases of blocks, norms, embeddings, head; tokens and positions."""

    def tower(width, depth):
        block = 12 * width**2 + (3 + 1 + 4 + 1) * width + 2 * 2 * width
        return depth * block + 2 * width  # the norm after the blocks

    patches, _, _, values = measures(c)
    positions = (patches + 1) * c.width
    encoder = (values + 1) * c.width + c.width + positions + tower(c.width, c.depth)
    positions = (patches + 1) * c.decoder_width
    decoder = (c.width + 1) * c.decoder_width + c.decoder_width + positions
    decoder += tower(c.decoder_width, c.decoder_depth) + (c.decoder_width + 1) * values
    return encoder, decoder


@pytest.mark.parametrize("name", NAMES)
def test_operations_of_every_model(name):
    c, build = model_config(name), partial(create_model, name)
    assert encoder_flops(build) == flops_of_encoder(c, measures(c)[0])
    assert pretraining_flops(build) == flops_of_pretraining(c)


@pytest.mark.parametrize(
    "changes",
    [{"size": (96, 64), "patch": (8, 16)}, {"channels": 1}, {"size": 112, "decoder_depth": 1}],
)
def test_operations_of_other_shapes(changes):
    name = "mae_vit_tiny_patch16"
    c, build = model_config(name, **changes), partial(create_model, name, **changes)
    assert encoder_flops(build) == flops_of_encoder(c, measures(c)[0])
    assert pretraining_flops(build) == flops_of_pretraining(c)


@pytest.mark.parametrize("kernel", ["sdpa", "sdpa-flash", "eager"])
def test_the_kernel_of_a_model_does_not_change_its_operations(kernel):
    build = partial(create_model, "mae_vit_tiny_patch16", attention=kernel)
    c = model_config("mae_vit_tiny_patch16")
    assert pretraining_flops(build) == flops_of_pretraining(c)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_of_every_model(name):
    with torch.device("meta"):
        model = create_model(name)
    counted = [sum(p.numel() for p in part.parameters()) for part in (model.encoder, model.decoder)]
    assert tuple(counted) == parameters(model_config(name))
    assert sum(p.numel() for p in model.parameters()) == sum(counted)


def blocks_of_stages(c, units, pools):
    """Blocks after blocks: projections of what comes in, products within units or of all with all.

    A block that widens, widens what it adds to, too. Queries and what follows are pooled.
    """
    total, width, each = 0, c.width, 2 ** (2 * (len(c.stages) - 1))
    for stage, depth in enumerate(c.stages):
        for number in range(depth):
            first = number == 0 and stage > 0
            out, before = width * (2 if first else 1), each
            each //= 4 if first and stage <= pools else 1
            within = stage - first < len(c.stages) - 2
            keys = before if within else units * before
            total += linear(units * before, width, (4 if first else 3) * out)
            total += 2 * linear(units * each, out, keys) + linear(units * each, out, 9 * out)
            width = out
    return total


HIERA = {"width": 8, "heads": 2, "stages": (1, 2, 1, 2), "size": (64, 96), "channels": 2}


@pytest.mark.parametrize("changes", [{}, {"stages": (2, 1, 2)}, {"stages": (1, 1)}])
def test_operations_of_a_hierarchy_are_those_of_visible_units(changes):
    changes = {**HIERA, "decoder_width": 16, "decoder_depth": 2, "decoder_heads": 2, **changes}
    c, name = model_config("hiera_base_224", **changes), "hiera_base_224"
    build, pools = partial(create_model, name, **changes), len(c.stages) - 2
    side = 2 ** (len(c.stages) - 1)
    units, tokens = math.prod(c.size) // (16 * side**2), side**2
    stem, table = linear(tokens, 2 * 49, c.width), spread(c, side)
    expected = units * stem + table + blocks_of_stages(c, units, pools + 1)
    assert encoder_flops(build) == expected
    visible = int(units * 0.4)
    last, values = c.width * side, 2 * (4 * side // 2) ** 2
    fused = sum(
        linear(visible * 4, c.width * 2**stage * 4 ** (pools - stage), last)
        for stage in range(pools)
    )
    hidden = 4 * (units - visible)
    expected = visible * stem + table + blocks_of_stages(c, visible, pools) + fused
    expected += linear(4 * visible, last, 16) + blocks(4 * units, 16, 1)
    expected += last_block(4 * units, hidden, 16) + linear(hidden, 16, values)
    assert pretraining_flops(build) == expected


def spread(c, side):
    """Codes of places in the signal, stretched along both axes."""
    high, wide = (n // 4 for n in c.size)
    few = 2 * high // side, 2 * wide // side
    return c.width * (linear(high, few[0], few[1]) + linear(high, few[1], wide))
