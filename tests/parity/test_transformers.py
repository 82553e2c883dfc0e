"""Equal to transformers' ViTMAE with the same weights: loss, predictions and every gradient."""

import pytest
import torch
from transformers import ViTMAEConfig, ViTMAEForPreTraining

from maskedae import create_model
from maskedae.masking import take

BLOCK = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.o_proj",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
SINGLE = {
    "encoder.class_token": "vit.embeddings.cls_token",
    "encoder.positions.table": "vit.embeddings.position_embeddings",
    "encoder.embed": "vit.embeddings.patch_embeddings.projection",
    "encoder.norm": "vit.layernorm",
    "decoder.mask_token": "decoder.mask_token",
    "decoder.positions.table": "decoder.decoder_pos_embed",
    "decoder.embed": "decoder.decoder_embed",
    "decoder.norm": "decoder.decoder_norm",
    "decoder.head": "decoder.decoder_pred",
}


def pairs(ours, theirs):
    """Our tensor and theirs, for every parameter; theirs may be three to be laid end to end."""
    for name, tensor in ours.items():
        stem, _, kind = name.rpartition(".")
        if name in SINGLE:
            yield tensor, [theirs[SINGLE[name]]]
        elif stem in SINGLE:
            yield tensor, [theirs[f"{SINGLE[stem]}.{kind}"]]
        else:
            tower, _, number, part = stem.split(".", 3)
            layer = {"encoder": "vit.layers", "decoder": "decoder.decoder_layers"}[tower]
            parts = [f"attention.{c}_proj" for c in "qkv"] if part == "attn.qkv" else [BLOCK[part]]
            yield tensor, [theirs[f"{layer}.{number}.{p}.{kind}"] for p in parts]


CASES = [
    (32, 8, 3, 0.75, True),
    (40, 8, 3, 0.6, True),
    (28, 7, 1, 0.75, True),
    (48, 16, 4, 0.5, False),
    (33, 11, 2, 0.75, False),
]


@pytest.mark.parametrize(("size", "patch", "channels", "ratio", "normalize"), CASES)
def test_loss_prediction_and_gradients(tiny, size, patch, channels, ratio, normalize):
    from maskedae import RandomMasker

    overrides = {**tiny, "size": size, "patch": patch, "channels": channels}
    model = create_model(
        "mae_vit_base_patch16", RandomMasker(ratio), **overrides, normalize_target=normalize
    )
    config = ViTMAEConfig(
        image_size=size,
        patch_size=patch,
        num_channels=channels,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        decoder_hidden_size=16,
        decoder_num_hidden_layers=1,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=64,
        mask_ratio=ratio,
        norm_pix_loss=normalize,
        layer_norm_eps=1e-6,
    )
    other = ViTMAEForPreTraining(config)
    ours, theirs = dict(model.named_parameters()), dict(other.named_parameters())
    for parameter in ours.values():  # biases, too, should differ from zero
        parameter.data += 0.02 * torch.randn_like(parameter)
    copied = 0
    for mine, parts in pairs(ours, theirs):
        for part, piece in zip(parts, mine.data.chunk(len(parts)), strict=True):
            part.data.copy_(piece)
            copied += 1
    assert copied == len(theirs)

    images = torch.randn(3, channels, size, size)
    noise = torch.rand(3, (size // patch) ** 2)
    out, expected = model(images, noise=noise), other(images, noise=noise)
    torch.testing.assert_close(out.loss, expected.loss, rtol=1e-5, atol=1e-6)
    logits = take(expected.logits, out.mask.hidden)
    torch.testing.assert_close(out.prediction, logits, rtol=1e-5, atol=2e-6)
    out.loss.backward()
    expected.loss.backward()
    for mine, parts in pairs(ours, theirs):
        if mine.requires_grad:
            gradient = torch.cat([part.grad for part in parts])
            scale = gradient.abs().max().item()
            torch.testing.assert_close(mine.grad, gradient, rtol=1e-5, atol=1e-5 * scale)
