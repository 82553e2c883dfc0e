"""How a MAViL starts from another model: of images, sounds or clips, or a MAViL itself."""

from typing import Any

import torch
from torch import Tensor, nn

from maskedae.attention import attentions
from maskedae.audio_video import AudioVideoEncoder
from maskedae.beginning import adopt as adopt_whole
from maskedae.codes import resample
from maskedae.encoder import Encoder
from maskedae.fitting import adapt_channels, adapt_patch
from maskedae.layouts import State
from maskedae.learner import Learner
from maskedae.models.audiomae import AudioMAEConfig
from maskedae.transformer import Blocks
from maskedae.vit import VisionTransformer

SIDES = {"images": ("video", "audio"), "sounds": ("audio",), "clips": ("video",), "both": ()}


def kind_of(config: Any) -> str:
    """What the signals of a model of that config are: one of `SIDES`, which start from it."""
    if not isinstance(config.shape[0], int):
        return "both"
    if isinstance(config, AudioMAEConfig) or getattr(config, "modality", "") == "a":
        return "sounds"
    return "images" if len(config.shape) == 3 else "clips"


def rank(donor: Any) -> int:
    """Where a loaded model stands among those to start from, of which later ones replace earlier.

    Images, that serve both sides, go first, then sounds, clips, and models of both.
    """
    return list(SIDES).index(kind_of(donor.config))


def inherit(model: Any, donor: Any) -> list[str]:
    """Start a model of sound and picture from a loaded one; say what became of its weights.

    Of images, both sides start from them: kernels are repeated in time as they are, and summed over
    colours for sound. Blocks where both meet start as the last block. Raises ValueError for blocks
    of another build.
    """
    if not isinstance(model.encoder, AudioVideoEncoder):
        return adopt_whole(model, donor)
    theirs, kind = donor.model.encoder, kind_of(donor.config)
    decoder = getattr(donor.model, "decoder", None) if isinstance(donor.model, Learner) else None
    if kind == "both":
        return whole(model, donor)
    if not isinstance(theirs, VisionTransformer):
        raise ValueError(f"a {type(theirs).__name__} has no blocks for sound or pictures")
    notes = []
    for name in SIDES[kind]:
        mine = getattr(model.encoder, name)
        _same_build(mine, theirs)
        notes += adopt(mine, told_of(mine, theirs), name)
        notes += _decoder(model.decoder[name], decoder, mine, theirs, name)
    last = theirs.blocks[-1].state_dict()
    for blocks in model.encoder.fusion.stacks:
        for block in blocks:
            block.load_state_dict(last)
    return [*notes, f"blocks where sound and pictures meet start as the last block of {kind}"]


def _same_build(mine: VisionTransformer, theirs: VisionTransformer) -> None:
    builds = [(e.width, e.depth, attentions(e)[0].heads) for e in (mine, theirs)]
    if builds[0] != builds[1]:
        raise ValueError(
            f"width, depth and heads are {builds[1]} in the file and {builds[0]} in the model; the "
            f"same would fit"
        )


def told_of(mine: VisionTransformer, theirs: VisionTransformer) -> State:
    """What an encoder tells another of the same build, of another number of axes perhaps."""
    state = {k: v for k, v in theirs.state_dict().items() if not k.startswith(("head", "posi"))}
    kernel, axes = state["embed.weight"], len(mine.unit)
    channels = mine.embed.weight.shape[1]
    if kernel.shape[1] != channels:
        kernel = adapt_channels(kernel, channels)[0]
    sides = mine.unit[-len(theirs.unit) :]
    if tuple(kernel.shape[2:]) != sides:
        kernel = adapt_patch(kernel, sides)
    if kernel.ndim < 2 + axes:  # repeated, not divided, as published
        kernel = kernel.unsqueeze(2).repeat(1, 1, mine.unit[0], *[1] * (kernel.ndim - 2))
    if mine.prefix != theirs.prefix:
        state.pop("class_token", None)
    rows = rows_for(mine, theirs)
    return {**state, "embed.weight": kernel} | ({} if rows is None else {"positions.table": rows})


def rows_for(mine: Any, theirs: Any) -> Tensor | None:
    """Rows of positions for another grid, those of images for every slot: (1, prefix + N, D).

    None where codes of the one are not for the other: those of sounds are not of images.
    """
    grid, old = mine.positions.grid, theirs.positions.grid
    if len(grid) == 2 and grid != old:
        return None
    table = theirs.positions()[0]
    prefix = theirs.positions.prefixed()[0]
    prefix = prefix if theirs.positions.prefix else torch.zeros_like(mine.positions.prefixed()[0])
    table = resample(table, old, grid[-len(old) :])
    return torch.cat([prefix, table.repeat(len(mine.positions()[0]) // len(table), 1)]).unsqueeze(0)


@torch.no_grad()
def adopt(part: nn.Module, state: State, what: str) -> list[str]:
    """Copy what fits by name and shape; say what does not, and what stays fresh."""
    own = dict(part.state_dict())
    fits = {k: v for k, v in state.items() if k in own and v.shape == own[k].shape}
    for name, tensor in fits.items():
        own[name].copy_(tensor)
    fresh = sorted(name for name in own if name not in fits)
    left = sorted(name for name in state if name not in fits)
    notes = [f"{what}: {len(fits)} of {len(own)} tensors inherited"]
    notes += [f"{what}: fresh: {', '.join(fresh)}"] if fresh else []
    return notes + ([f"{what}: left out: {', '.join(left)}"] if left else [])


def _decoder(mine: Any, theirs: Any, ours: Encoder, other: Encoder, name: str) -> list[str]:
    """The decoder of a side, if there is one of the same build that looks everywhere."""
    if theirs is None:
        return []
    builds = [(d.embed.weight.shape, len(d.blocks), attentions(d)[0].heads) for d in (mine, theirs)]
    if not isinstance(theirs.blocks, Blocks) or builds[0] != builds[1]:
        return [f"decoder.{name}: fresh, for that of the file is of another build"]
    state = {k: v for k, v in theirs.state_dict().items() if not k.startswith("posi")}
    rows = rows_for(mine, theirs)
    state |= {} if rows is None else {"positions.table": rows}
    return adopt(mine, state, f"decoder.{name}")


def whole(model: Any, donor: Any) -> list[str]:
    """Start from a loaded model of both; raises ValueError unless both meet in it alike."""
    mine, theirs = model.encoder, donor.model.encoder
    builds = [(type(encoder.fusion), encoder.mingled) for encoder in (mine, theirs)]
    if builds[0] != builds[1]:
        raise ValueError(
            f"sound and pictures meet in other ways in the {donor.name} of the file: one of the "
            f"same system, and with the same fusion, would fit"
        )
    for part, its in zip(mine.parts, theirs.parts, strict=True):
        _same_build(part, its)
    return adopt(model, donor.model.state_dict(), "model")
