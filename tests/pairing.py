"""Tiny models of sound and picture, and samples for them."""

import torch

from maskedae import create_model
from maskedae.pairs import Pair

TINY = {
    "audio_size": (64, 32),
    "audio_patch": (8, 8),
    "video_size": (4, 32, 32),
    "video_patch": (2, 8, 8),
    "width": 48,
    "depth": 2,
    "heads": 4,
    "decoder_width": 32,
    "decoder_depth": 1,
    "decoder_heads": 2,
}
SOUNDS, CLIPS = 32, 32  # patches
KINDS = ("joint", "bottleneck")


def mavil(**settings):
    return create_model("mavil_vit_base", **{**TINY, **settings})


def pair(heard=(1, 1), seen=(1, 1), fill=None):
    """Samples of chance; with `fill`, that is what stands where there is nothing."""
    audio, video = torch.randn(len(heard), 1, 64, 32), torch.randn(len(heard), 3, 4, 32, 32)
    heard, seen = torch.tensor(heard).bool(), torch.tensor(seen).bool()
    if fill is not None:
        audio[~heard], video[~seen] = fill, fill
    return Pair(audio, video, heard, seen)


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}
