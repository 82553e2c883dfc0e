"""Compare our pre-training step with that of transformers: the same ViT-B/16 MAE twice.

python benchmarks/step_against_transformers.py [--batch 8] [--rounds 10] [--threads 1] [--compile]

Weights, images, masks and optimiser are the same; first the losses must be. Both take a step in
turn, so that a busy machine slows both down alike; what counts is the median of the ratios.
Above 1, ours is the faster. The GPU is used if there is one.
"""

import argparse
import re
from collections.abc import Callable
from functools import partial

import torch
from comparing import compare, training_step
from torch import Tensor, nn
from transformers import ViTMAEConfig, ViTMAEForPreTraining

from maskedae.zoo import create_model

BATCH = {"cpu": 8, "cuda": 256}

# Our names and those of transformers, which has queries, keys and values apart.
NAMES = [
    (r"^encoder\.blocks\.", "vit.layers."),
    (r"^decoder\.blocks\.", "decoder.decoder_layers."),
    (r"\.attn\.qkv\.", ".attention.qkv_proj."),
    (r"\.attn\.proj\.", ".attention.o_proj."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"^encoder\.class_token", "vit.embeddings.cls_token"),
    (r"^encoder\.positions\.table", "vit.embeddings.position_embeddings"),
    (r"^encoder\.embed\.", "vit.embeddings.patch_embeddings.projection."),
    (r"^encoder\.norm\.", "vit.layernorm."),
    (r"^decoder\.positions\.table", "decoder.decoder_pos_embed"),
    (r"^decoder\.embed\.", "decoder.decoder_embed."),
    (r"^decoder\.norm\.", "decoder.decoder_norm."),
    (r"^decoder\.head\.", "decoder.decoder_pred."),
]

Loss = Callable[[Tensor, Tensor], Tensor]


def main() -> None:
    """Check that both agree, then time them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, help="images in a step; 8, or 256 on a GPU")
    parser.add_argument("--rounds", type=int, default=10, help="pairs of measurements")
    parser.add_argument("--steps", type=int, help="in a measurement; 1, or 10 on a GPU")
    parser.add_argument("--threads", type=int, help="on the CPU; 1 is steadier on a busy machine")
    parser.add_argument("--compile", action="store_true", help="compile both")
    options = parser.parse_args()
    torch.set_num_threads(options.threads or torch.get_num_threads())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    batch = options.batch or BATCH[device.type]
    steps = options.steps or (10 if device.type == "cuda" else 1)
    mode = "compiled" if options.compile else "eager"
    print(f"ViT-B/16 on {device}, {torch.get_num_threads()} threads, batch {batch}, {mode}")
    for precision in ("fp32", "bf16"):
        torch.manual_seed(0)
        images = torch.randn(batch, 3, 224, 224, device=device)
        noise = torch.rand(batch, 196, device=device)
        ours, theirs = pair(device)
        if precision == "fp32":
            agree(ours, theirs, images, noise)
        sides = [
            training_step(model, partial(loss, images, noise), device, precision == "bf16")
            for model, loss in both(ours, theirs, options.compile)
        ]
        compare(sides, device, precision, options.rounds, steps)


def pair(device: torch.device) -> tuple[nn.Module, nn.Module]:
    """Our model and theirs, with our weights."""
    ours: nn.Module = create_model("mae_vit_base_patch16")
    theirs: nn.Module = ViTMAEForPreTraining(ViTMAEConfig(norm_pix_loss=True, layer_norm_eps=1e-6))
    theirs.load_state_dict(renamed(ours.state_dict()), strict=True)
    return ours.to(device).train(), theirs.to(device).train()


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our weights under the names of transformers."""
    apart = {}
    for name, tensor in state.items():
        for ours, theirs in NAMES:
            name = re.sub(ours, theirs, name)
        if "qkv" in name:
            for letter, part in zip("qkv", tensor.chunk(3), strict=True):
                apart[name.replace("qkv", letter)] = part
        else:
            apart[name] = tensor
    return apart


def both(ours: nn.Module, theirs: nn.Module, compiled: bool) -> list[tuple[nn.Module, Loss]]:
    """Each model, and the loss of images (B, C, H, W) under a mask from noise (B, N)."""
    new, old = (torch.compile(m, dynamic=False) if compiled else m for m in (ours, theirs))
    return [
        (ours, lambda images, noise: new(images, noise=noise).loss),
        (theirs, lambda images, noise: old(images, noise=noise).loss),
    ]


def agree(ours: nn.Module, theirs: nn.Module, images: Tensor, noise: Tensor) -> None:
    """Raise an error unless the losses agree to 1e-4."""
    with torch.no_grad():
        new, old = (loss(images, noise).item() for _, loss in both(ours, theirs, False))
    print(f"loss: ours {new:.7f}, transformers {old:.7f}")
    assert abs(new - old) < 1e-4, "the losses differ: these are not the same model"


if __name__ == "__main__":
    main()
