"""How others name the weights of VideoMAE, and what their files tell of the model."""

from pathlib import Path
from typing import Any

from maskedae.exporting import Model, Written
from maskedae.layouts import Facts, Foreign, Layout, State
from maskedae.models.layouts import clips, videomae_transformers
from maskedae.models.layouts.clips import preprocessor as preprocessor
from maskedae.models.layouts.mae_facts import (
    Told,
    guess,
    has_decoder,
    head,
    measure,
    pair,
    refuse,
)
from maskedae.models.layouts.mae_transformers import FIXED, answers
from maskedae.models.layouts.videomae_names import FINE_TUNED, PRETRAINED, TRANSFORMERS
from maskedae.models.layouts.videomae_names import LAYOUTS as LAYOUTS
from maskedae.models.videomae import DATA

NEEDED = {
    "encoder.embed.bias": "no bias of the patches",
    "encoder.blocks.0.attn.qkv.bias": "no bias of queries and values (qv_bias)",
}
PUBLISHED = (16, 224, 224)
DECODER_HEADS = {192: 3, 384: 6, 512: 8, 640: 8}
TOLD_OF_DECODERS = {"decoder_heads", "normalize_target"}


def read(layout: Layout, state: State, foreign: Foreign, overrides: dict[str, Any]) -> Facts:
    """Settings by the shapes, by what lies beside the file, and by guess, in this order.

    Raises ValueError that names what these models have no place for.
    """
    told = tell(foreign) if layout in TRANSFORMERS else Told()
    refuse(state, NEEDED)
    settings, guessed = measure(state), dict[str, str]()
    for name, value in told.settings.items():
        if has_decoder(state) or name not in TOLD_OF_DECODERS:
            settings[name] = value
    if "size" not in settings:
        # Nothing in the file depends on it.
        settings["size"] = PUBLISHED
        guessed["size"] = f"{PUBLISHED}, as published: the file does not tell"
    if has_decoder(state) and "decoder_heads" not in settings:
        width = settings["decoder_width"]
        settings["decoder_heads"] = DECODER_HEADS.get(width, max(width // 64, 1))
        guessed["decoder_heads"] = f"{settings['decoder_heads']} by width: weights do not tell"
    guessed |= guess(settings, state, foreign.path.name)
    sections: dict[str, Any] = {"data": clips.data(DATA, None, None), **told.sections}
    sections["licence"] = foreign.licence or "unknown"
    if "encoder.head.linear.weight" in state:
        sections["head"] = head(state, told)
    parts = ", encoder and decoder" if has_decoder(state) else ""
    return Facts(layout.title + parts, settings, guessed, sections)


def tell(foreign: Foreign) -> Told:
    """What transformers' config.json and preprocessor_config.json say, and what is always so."""
    config, prepared = foreign.config, foreign.preprocessor
    for name, (value, what) in {**FIXED, "qv_bias": (True, "no biases (qv_bias)")}.items():
        if config.get(name, value) != value:
            raise ValueError(f"config.json asks for {what}: {config[name]}; {value} alone fits")
    settings: dict[str, Any] = {
        "norm_eps": config.get("layer_norm_eps", 1e-12),
        "last_norm_eps": 1e-5,
    }
    if config:
        settings |= {
            "heads": config.get("num_attention_heads", 12),
            "size": (config.get("num_frames", 16), *pair(config.get("image_size", 224))),
            "decoder_heads": config.get("decoder_num_attention_heads", 6),
            "normalize_target": config.get("norm_pix_loss", True),
        }
    sections = {"data": clips.data(DATA, prepared.get("image_mean"), prepared.get("image_std"))}
    return Told(settings, sections, *answers(config))


def export(model: Model, folder: Path, name: str | None) -> Written:
    """Write a file under the names of the official repository."""
    layout = FINE_TUNED if model.encoder.num_classes else PRETRAINED
    return clips.export_official(model, layout, folder, name)


EXPORTS = {"transformers": videomae_transformers.export, "official": export}
