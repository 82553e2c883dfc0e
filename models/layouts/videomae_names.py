"""The names of VideoMAE's official repository, and of transformers' VideoMAE."""

from maskedae.layouts import Layout
from maskedae.models.layouts.mae_transformers import Pair, layers


def biases(ours: str, theirs: str) -> Pair:
    """Queries and values have biases of their own, and keys have none."""
    return f"{ours}.*.attn.qkv.bias", tuple(f"{theirs}.{part}_bias" for part in "qkv")


PRETRAINED = Layout(
    "official VideoMAE",
    (
        ("encoder.embed", "encoder.patch_embed.proj"),
        biases("encoder.blocks", "encoder.blocks.*.attn"),
        ("encoder.blocks", "encoder.blocks"),
        ("encoder.norm", "encoder.norm"),
        ("decoder.mask_token", "mask_token"),
        ("decoder.embed", "encoder_to_decoder"),
        biases("decoder.blocks", "decoder.blocks.*.attn"),
        ("decoder.blocks", "decoder.blocks"),
        ("decoder.norm", "decoder.norm"),
        ("decoder.head", "decoder.head"),
    ),
    (("encoder.patch_embed.proj.weight", 5), ("encoder.blocks.0.attn.qkv.weight", 2)),
)
FINE_TUNED = Layout(
    "official VideoMAE, fine-tuned",
    (
        ("encoder.embed", "patch_embed.proj"),
        biases("encoder.blocks", "blocks.*.attn"),
        ("encoder.blocks", "blocks"),
        ("encoder.norm", "norm"),
        ("encoder.head.norm", "fc_norm"),
        ("encoder.head.linear", "head"),
    ),
    (("patch_embed.proj.weight", 5), ("blocks.0.attn.q_bias", 1)),
)


def transformers(prefix: str) -> Layout:
    """The layout of a model whose encoder has that prefix; files' names before modules' names."""
    kernel, inner = f"{prefix}embeddings.patch_embeddings.projection", "attention.attention"
    names: tuple[Pair, ...] = (
        ("encoder.embed", kernel),
        biases("encoder.blocks", f"{prefix}encoder.layer.*.{inner}"),
        *layers("encoder.blocks", f"{prefix}encoder.layer"),
        ("encoder.norm", f"{prefix}layernorm"),
        ("encoder.head.norm", "fc_norm"),
        ("encoder.head.linear", "classifier"),
        ("decoder.mask_token", "mask_token"),
        ("decoder.embed", "encoder_to_decoder"),
        biases("decoder.blocks", f"decoder.decoder_layers.*.{inner}"),
        *layers("decoder.blocks", "decoder.decoder_layers"),
        ("decoder.norm", "decoder.norm"),
        ("decoder.head", "decoder.head"),
    )
    return Layout("transformers VideoMAE", names, ((f"{kernel}.weight", 5),))


NAMED, BARE = transformers("videomae."), transformers("")
TRANSFORMERS = (NAMED, BARE)
LAYOUTS = (PRETRAINED, FINE_TUNED, *TRANSFORMERS)
