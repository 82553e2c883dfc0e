"""Compare our pre-training step on clips with that of transformers: the same VideoMAE twice.

python benchmarks/clip_step.py [--batch 2] [--rounds 5] [--dtype bf16] [--compile] [--device cpu]

ViT-B/16 on 16 frames of 224 pixels, tubes hide nine tenths. Weights, clips, masks and optimiser are
the same; first the losses must be. Both take a step in turn, so that a busy machine slows both
down alike; what counts is the median of the ratios. Above 1, ours is the faster. Before, each side
takes two steps in a process of its own, which tells its peak of memory: that of the GPU, else that
of the process, whose libraries are the same.
"""

import argparse
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator

import torch
from comparing import compare, training_step
from torch import Tensor, nn
from transformers import VideoMAEConfig, VideoMAEForPreTraining

from maskedae.autoencoder import MaskedAutoencoder
from maskedae.masking import Mask
from maskedae.models.layouts.clips import without_keys
from maskedae.models.layouts.videomae_names import NAMED
from maskedae.models.layouts.videomae_transformers import booleans, decoder, encoder, in_order
from maskedae.zoo import create_model

MODEL = "videomae_vit_base_patch16"
BATCH = {"cpu": 2, "cuda": 64}
SIDES = ("ours", "transformers")

Loss = Callable[[], Tensor]


def main() -> None:
    """Check that both agree, time them, and weigh each on its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, help="clips in a step; 2, or 64 on a GPU")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of measurements")
    parser.add_argument("--steps", type=int, help="in a measurement; 1, or 10 on a GPU")
    parser.add_argument("--threads", type=int, help="on the CPU; 1 is steadier on a busy machine")
    parser.add_argument("--dtype", choices=("fp32", "bf16"), nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true", help="compile both")
    parser.add_argument("--alone", choices=SIDES, help="print one side's peak of memory, in bytes")
    options = parser.parse_args()
    torch.set_num_threads(options.threads or torch.get_num_threads())
    device = torch.device(options.device)
    batch = options.batch or BATCH[device.type]
    if options.alone:
        print(weigh(options.alone, device, batch, options.dtype[0] == "bf16", options.compile))
        return
    steps = options.steps or (10 if device.type == "cuda" else 1)
    mode = "compiled" if options.compile else "eager"
    print(f"{MODEL} on {device}, {torch.get_num_threads()} threads, batch {batch}, {mode}")
    for precision in options.dtype:
        # Before anything is large here: on Linux, a process inherits the peak of the one before.
        said = [peak(side, precision, sys.argv[1:]) / 2**30 for side in SIDES]
        print(f"{precision}: peak of ours {said[0]:.2f} GiB, of transformers {said[1]:.2f} GiB")
    for precision in options.dtype:
        losses = list(both(device, batch, options.compile))
        agree(*(loss for _, loss in losses))
        sides = [training_step(*side, device, precision == "bf16") for side in losses]
        compare(sides, device, precision, options.rounds, steps, warm_up=2)
        del losses, sides


def both(device: torch.device, batch: int, compiled: bool) -> Iterator[tuple[nn.Module, Loss]]:
    """Our model and theirs with our weights, each with its loss of the same clips."""
    torch.manual_seed(0)
    ours = create_model(MODEL)
    theirs = fellow(ours)
    clips, mask = torch.randn(batch, 3, 16, 224, 224), in_order(ours.draw_mask(batch))
    yield ours, our_loss(ours, clips, mask, device, compiled)
    yield theirs, their_loss(theirs, clips, mask, device, compiled)


def fellow(ours: MaskedAutoencoder) -> nn.Module:
    """Their model with our weights."""
    assert ours.encoder.recipe is not None
    settings = ours.encoder.recipe["model"]
    config = VideoMAEConfig(**encoder(settings), **decoder(settings), use_mean_pooling=False)
    theirs: nn.Module = VideoMAEForPreTraining(config)
    state = without_keys(NAMED.to_theirs(ours.state_dict()))
    renames = (("q_bias", "query.bias"), ("v_bias", "value.bias"))
    for old, new in renames:
        state = {name.replace(old, new): tensor for name, tensor in state.items()}
    theirs.load_state_dict(state, strict=True)
    return theirs


def our_loss(
    model: nn.Module, clips: Tensor, mask: Mask, device: torch.device, compiled: bool
) -> Loss:
    """The loss of our model on a device: clips (B, C, T, H, W)."""
    model.to(device).train()
    called = torch.compile(model, dynamic=False) if compiled else model
    clips, mask = clips.to(device), Mask(*(index.to(device) for index in mask))
    return lambda: called(clips, mask=mask).loss


def their_loss(
    model: nn.Module, clips: Tensor, mask: Mask, device: torch.device, compiled: bool
) -> Loss:
    """The loss of their model on a device: clips (B, C, T, H, W)."""
    model.to(device).train()
    called = torch.compile(model, dynamic=False) if compiled else model
    clips, hidden = clips.transpose(1, 2).contiguous().to(device), booleans(mask).to(device)
    return lambda: called(clips, bool_masked_pos=hidden).loss


@torch.no_grad()
def agree(ours: Loss, theirs: Loss) -> None:
    """Raise an error unless the losses agree to 1e-4."""
    new, old = ours().item(), theirs().item()
    print(f"loss: ours {new:.7f}, transformers {old:.7f}")
    assert abs(new - old) < 1e-4, "the losses differ: these are not the same model"


def weigh(side: str, device: torch.device, batch: int, bf16: bool, compiled: bool) -> int:
    """Bytes that two steps of one side take at most."""
    torch.manual_seed(0)
    ours = create_model(MODEL)
    clips, mask = torch.randn(batch, 3, 16, 224, 224), in_order(ours.draw_mask(batch))
    model, loss = (ours, our_loss) if side == "ours" else (fellow(ours), their_loss)
    del ours
    take = training_step(model, loss(model, clips, mask, device, compiled), device, bf16)
    for _ in range(2):
        take()
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def peak(side: str, precision: str, arguments: list[str]) -> int:
    """What `weigh` says in a process of its own."""
    command = [sys.executable, __file__, *arguments, "--dtype", precision, "--alone", side]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
