"""transformers' ViTMAE, ViT and BEiT: their names, and what their folders tell."""

from typing import Any

from maskedae.answers import Kind
from maskedae.layouts import Foreign, Layout
from maskedae.models.layouts.mae_facts import Told, pair
from maskedae.models.layouts.mae_pictures import data

# Parts of a layer: ours, theirs in files, theirs in the modules of transformers 5.
QKV = ("query", "key", "value")
LAYER = (
    ("attn.qkv", tuple(f"attention.attention.{part}" for part in QKV)),
    ("attn.proj", "attention.output.dense"),
    ("norm1", "layernorm_before"),
    ("norm2", "layernorm_after"),
    ("mlp.fc1", "intermediate.dense"),
    ("mlp.fc2", "output.dense"),
    ("attn.qkv", tuple(f"attention.{part}_proj" for part in "qkv")),
    ("attn.proj", "attention.o_proj"),
    ("mlp.fc1", "mlp.fc1"),
    ("mlp.fc2", "mlp.fc2"),
)
Pair = tuple[str, str | tuple[str, ...]]


def layers(ours: str, theirs: str) -> tuple[Pair, ...]:
    """Names in a stack of layers."""
    return tuple(
        (
            f"{ours}.*.{part}",
            f"{theirs}.*.{other}"
            if isinstance(other, str)
            else tuple(f"{theirs}.*.{third}" for third in other),
        )
        for part, other in LAYER
    )


def layout(title: str, prefix: str) -> Layout:
    """The layout of a model whose encoder has that prefix; files' names before modules' names."""
    embeddings = f"{prefix}embeddings"
    names: tuple[Pair, ...] = (
        ("encoder.class_token", f"{embeddings}.cls_token"),
        ("encoder.positions.table", f"{embeddings}.position_embeddings"),
        ("encoder.embed", f"{embeddings}.patch_embeddings.projection"),
        *layers("encoder.blocks", f"{prefix}encoder.layer"),
        *layers("encoder.blocks", f"{prefix}layers"),
        ("encoder.norm", f"{prefix}layernorm"),
        ("encoder.head.norm", f"{prefix}pooler.layernorm"),
        ("encoder.head.linear", "classifier"),
        ("decoder.mask_token", "decoder.mask_token"),
        ("decoder.positions.table", "decoder.decoder_pos_embed"),
        ("decoder.embed", "decoder.decoder_embed"),
        *layers("decoder.blocks", "decoder.decoder_layers"),
        *layers("decoder.blocks", "decoder.decoder_encoder.layer"),
        ("decoder.norm", "decoder.decoder_norm"),
        ("decoder.head", "decoder.decoder_pred"),
    )
    marks = ((f"{embeddings}.patch_embeddings.projection.weight", 4),)
    left_out = (f"{prefix}pooler.dense", f"{embeddings}.mask_token")
    return Layout(title, names, marks, left_out)


VIT = layout("transformers ViT", "vit.")
BARE = layout("transformers ViT", "")
BEIT = layout("transformers BEiT", "beit.")
LAYOUTS = (VIT, BARE, BEIT)
# What has to be so, if a config speaks of it at all.
FIXED = {
    "hidden_act": ("gelu", "the activation"),
    "qkv_bias": (True, "the bias of queries, keys and values (qkv_bias)"),
    "use_relative_position_bias": (False, "relative positions (use_relative_position_bias)"),
    "use_shared_relative_position_bias": (False, "shared relative positions"),
    "use_swiglu_ffn": (False, "a gated MLP (use_swiglu_ffn)"),
}
KINDS: dict[str, Kind] = {"multi_label_classification": "classes", "regression": "value"}


def tell(foreign: Foreign) -> Told:
    """What config.json and preprocessor_config.json say."""
    config = foreign.config
    for name, (value, what) in FIXED.items():
        if config.get(name, value) != value:
            raise ValueError(f"config.json asks for {what}: {config[name]}; {value} alone fits")
    settings: dict[str, Any] = {
        "heads": config.get("num_attention_heads", 12),
        "norm_eps": config.get("layer_norm_eps", 1e-12),
        "size": pair(config.get("image_size", 224)),
        "decoder_heads": config.get("decoder_num_attention_heads", 16),
        "normalize_target": config.get("norm_pix_loss", False),
    }
    sections: dict[str, Any] = {"data": pictures(foreign.preprocessor)}
    if "mask_ratio" in config:
        ratio = {"ratio": config["mask_ratio"]}
        sections["masker"] = {"class_path": "maskedae.masking.RandomMasker", "init_args": ratio}
    return Told(settings, sections, *answers(config))


def answers(config: dict[str, Any]) -> tuple[tuple[str, ...], Kind]:
    """Names of classes, and the kind of the answers."""
    names = config.get("id2label", {})
    classes = tuple(str(names[key]) for key in sorted(names, key=int))
    return classes, KINDS.get(config.get("problem_type") or "", "class")


def pictures(preprocessor: dict[str, Any]) -> dict[str, Any]:
    """The section `data` of a recipe, by preprocessor_config.json."""
    size, crop = preprocessor.get("size", {}), preprocessor.get("crop_size", {})
    edges = [crop.get("height"), size.get("shortest_edge")] if isinstance(size, dict) else []
    share = min(edges[0] / edges[1], 1.0) if edges and all(edges) else None
    if share is None and preprocessor:
        share = 1.0  # it stretches the whole picture
    return data(preprocessor.get("image_mean"), preprocessor.get("image_std"), share)
