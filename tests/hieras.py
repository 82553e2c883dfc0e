"""Hiera by its official names, and as a classifier."""

from maskedae.answers import Answers
from maskedae.classifier import Classifier

NAMES = {
    "encoder.embed": "patch_embed.proj",
    "encoder.blocks": "blocks",
    "encoder.positions.table": "pos_embed",
    "encoder.positions.along": "pos_embed_temporal",
    "encoder.positions.across": "pos_embed_spatial",
    "encoder.positions.tile": "pos_embed_win",
    "encoder.head.norm": "norm",
    "encoder.head.linear": "head.projection",
    "decoder.fusion.heads": "multi_scale_fusion_heads",
    "decoder.fusion.norm": "encoder_norm",
    "decoder.embed": "decoder_embed",
    "decoder.mask_token": "mask_token",
    "decoder.positions.table": "decoder_pos_embed",
    "decoder.blocks": "decoder_blocks",
    "decoder.norm": "decoder_norm",
    "decoder.head": "decoder_pred",
}


def official(model):
    """Parameters of a model by their official names."""
    found = {}
    for name, parameter in model.named_parameters():
        mine = next(mine for mine in NAMES if f"{name}.".startswith(f"{mine}."))
        found[NAMES[mine] + name.removeprefix(mine)] = parameter
    return found


def classifier(encoder, classes):
    return Classifier(encoder, Answers("class", tuple(map(str, range(classes)))))
