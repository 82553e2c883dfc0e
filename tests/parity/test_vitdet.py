"""The map of a plain encoder against transformers' ViTDet with copied weights."""

import torch
from torch import Tensor
from transformers import VitDetBackbone, VitDetConfig

from maskedae.encoder import Encoder
from maskedae.maps import PlainMap
from maskedae.zoo import create_model

PARTS = {
    "norm1": "norm1",
    "norm2": "norm2",
    "attn.qkv": "attention.qkv",
    "attn.proj": "attention.proj",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}


def theirs() -> VitDetBackbone:
    torch.manual_seed(0)
    model = VitDetBackbone(
        VitDetConfig(
            hidden_size=48,
            num_hidden_layers=4,
            num_attention_heads=4,
            image_size=96,
            pretrain_image_size=96,
            patch_size=8,
            window_size=5,  # 12 patches take three windows, the last of which is padded
            window_block_indices=[0, 2],
            use_relative_position_embeddings=True,
            drop_path_rate=0.0,
        )
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.eval()


def ours(model: VitDetBackbone) -> tuple[Encoder, PlainMap]:
    sizes = {"size": (96, 96), "patch": (8, 8), "width": 48, "depth": 4, "heads": 4}
    encoder = create_model("mae_vit_tiny_patch16", **sizes).encoder.eval()
    maps = encoder.make_maps(window=5, wide=[1, 3], relative=True)
    state = model.state_dict()
    with torch.no_grad():
        encoder.embed.weight.copy_(state["embeddings.projection.weight"])
        encoder.embed.bias.copy_(state["embeddings.projection.bias"])
        encoder.positions.table.copy_(state["embeddings.position_embeddings"])
        for number, block in enumerate(encoder.blocks):
            layer = f"encoder.layer.{number}."
            for own, other in PARTS.items():
                for part in ("weight", "bias"):
                    own_part = getattr(block.get_submodule(own), part)
                    own_part.copy_(state[f"{layer}{other}.{part}"])
            maps.relative[number].down.copy_(state[f"{layer}attention.rel_pos_h"])
            maps.relative[number].across.copy_(state[f"{layer}attention.rel_pos_w"])
    return encoder, maps


def test_map_and_gradients_are_those_of_transformers() -> None:
    other = theirs()
    encoder, maps = ours(other)
    signal = torch.randn(2, 3, 96, 96)
    wanted, (found,) = other(signal).feature_maps[-1], maps(signal, (12, 12))
    torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-5)
    weight = torch.randn_like(wanted)
    for out in (wanted, found):
        (out * weight).mean().backward()

    def close(own: Tensor, theirs: Tensor) -> None:
        scale = theirs.grad.abs().max()
        torch.testing.assert_close(own.grad / scale, theirs.grad / scale, atol=1e-5, rtol=1e-5)

    for number, block in enumerate(encoder.blocks):
        layer, relative = other.encoder.layer[number], maps.relative[number]
        close(relative.down, layer.attention.rel_pos_h)
        close(relative.across, layer.attention.rel_pos_w)
        close(block.mlp.fc1.weight, layer.mlp.fc1.weight)
        close(block.norm1.weight, layer.norm1.weight)
    close(encoder.embed.weight, other.embeddings.projection.weight)
