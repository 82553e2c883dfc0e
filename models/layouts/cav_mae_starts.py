"""How a CAV-MAE starts from an image MAE, as published, or from a CAV-MAE."""

from typing import Any

import torch
from einops import rearrange

from maskedae.attention import attentions
from maskedae.audio_video import AudioVideoEncoder
from maskedae.beginning import adopt as adopt_whole
from maskedae.layouts import State
from maskedae.learner import Learner
from maskedae.models.layouts.mavil_starts import adopt, kind_of, told_of, whole
from maskedae.transformer import Blocks
from maskedae.vit import VisionTransformer


def inherit(model: Any, donor: Any) -> list[str]:
    """Start a model of sound and picture from a loaded one; say what became of its weights.

    Of an image MAE, all blocks but the last serve both sides, that one is shared, kernels are
    summed over colours for sound. Raises ValueError for models of another build.
    """
    theirs, encoder, kind = donor.model.encoder, model.encoder, kind_of(donor.config)
    if not isinstance(encoder, AudioVideoEncoder):
        return adopt_whole(model, donor)
    if kind == "both":
        return whole(model, donor)
    depth, blocks = encoder.audio.depth, encoder.fusion.blocks
    wanted = encoder.width, depth + len(blocks), attentions(encoder)[0].heads
    found = theirs.width, theirs.depth, attentions(theirs)[0].heads
    if not isinstance(theirs, VisionTransformer) or kind != "images" or found != wanted:
        raise ValueError(
            f"an image MAE of width, depth and heads {wanted} would fit, and the file holds "
            f"{donor.name} of {found} for {kind}"
        )
    notes = list[str]()
    for name, part in (("audio", encoder.audio), ("video", encoder.video)):
        state = {k: v for k, v in told_of(part, theirs).items() if not k.startswith("positions")}
        if name == "audio":  # whose time is what columns are to images
            state["embed.weight"] = state["embed.weight"].transpose(2, 3)
        shared = tuple(f"blocks.{depth + number}." for number in range(len(blocks)))
        notes += adopt(part, {k: v for k, v in state.items() if not k.startswith(shared)}, name)
    for number, block in enumerate(blocks):
        last = theirs.blocks[depth + number]
        block.load_state_dict(last.state_dict())
        for own in encoder.fusion.norms:
            for norm, its in zip(own[number], (last.norm1, last.norm2), strict=True):
                norm.load_state_dict(its.state_dict())
    encoder.norm.load_state_dict(theirs.norm.state_dict(), strict=False)  # a classifier has none
    notes.append(f"shared blocks are the last {len(blocks)}, under norms that start alike")
    decoder: Any = donor.model.decoder if isinstance(donor.model, Learner) else None
    if decoder is None or not isinstance(decoder.blocks, Blocks):
        return notes
    return notes + adopt(model.decoder, _decoder(model, decoder), "decoder")


@torch.no_grad()
def _decoder(model: Any, theirs: Any) -> State:
    """A decoder of images under our names; its first values, as published, serve for sounds."""
    state, bands = State(), model.encoder.audio.unit[1]
    values = len(model.decoder.heads[0].bias)
    for name, tensor in theirs.state_dict().items():
        if name.startswith("head."):
            part = name.removeprefix("head.")
            if len(tensor) >= values:
                first = rearrange(tensor[:values], "(f t) ... -> (t f) ...", f=bands)
                state[f"heads.0.{part}"] = first
            state[f"heads.1.{part}"] = tensor
        elif name.startswith("blocks."):
            state[f"joint.{name}"] = tensor
        elif not name.startswith(("positions", "class_token")):
            state[name] = tensor
    return state
