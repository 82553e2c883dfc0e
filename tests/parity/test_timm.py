"""Equal to timm's vision transformers with their weights: tokens and logits."""

import json

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models._hub import save_for_hf
from timm.models.vision_transformer import VisionTransformer
from torch.testing import assert_close

from maskedae.classifier import Classifier
from maskedae.weights import EncoderOnly, load_with_report

SHAPE = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 4}
WIDE = {**SHAPE, "img_size": (24, 40), "in_chans": 1}


def timm_model(**settings):
    """A model whose biases, too, differ from zero."""
    model = VisionTransformer(**{**SHAPE, "num_classes": 0, **settings}).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model


def written(folder, model, **beside):
    """A folder as timm writes it for the hub; without `beside`, the weights alone."""
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "model.safetensors")
    if beside:
        (folder / "config.json").write_text(json.dumps(beside))
    return folder


def signal(model):
    return torch.randn(2, model.patch_embed.proj.in_channels, *model.patch_embed.img_size)


@pytest.mark.parametrize("settings", [SHAPE, WIDE])
@torch.no_grad()
def test_tokens_of_an_encoder(tmp_path, settings):
    other = timm_model(**settings)
    written(tmp_path, other)
    sizes = {"size": (24, 40)} if settings is WIDE else {}
    loaded = load_with_report(tmp_path / "model.safetensors", heads=4, **sizes)
    assert isinstance(loaded.model, EncoderOnly) and loaded.report.filled == 1
    assert "timm ViT, which have the same names, encoder" in loaded.report.layout
    x = signal(other)
    found = loaded.model.encoder.forward_features(x)
    assert_close(found, other.forward_features(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("pool", "ours"), [("token", "class"), ("avg", "mean")])
@torch.no_grad()
def test_logits_of_a_classifier(tmp_path, pool, ours):
    other = timm_model(num_classes=5, global_pool=pool)
    written(tmp_path, other)
    loaded = load_with_report(tmp_path, heads=4)
    assert isinstance(loaded.model, Classifier) and "fine-tuned" in loaded.report.layout
    assert loaded.recipe["head"]["pool"] == ours
    assert loaded.model.answers.classes[:2] == ("class 0", "class 1")
    x = signal(other)
    assert_close(loaded.model.eval()(x), other(x), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_a_folder_of_the_hub_tells_all(tmp_path):
    args = {**WIDE, "num_heads": 2}
    other = timm_model(**args, num_classes=3, global_pool="avg")
    published = {
        "mean": [0.3],
        "std": [0.2],
        "crop_pct": 0.9,
        "input_size": [1, 24, 40],
        "license": "mit",
        "label_names": ["a", "b", "c"],
    }
    written(
        tmp_path,
        other,
        architecture="vit_base_patch16_224",
        num_classes=3,
        global_pool="avg",
        model_args={**args, "checkpoint_path": "/never/opened.pth"},
        pretrained_cfg=published,
    )
    loaded = load_with_report(tmp_path)
    assert loaded.report.layout == "timm ViT, fine-tuned" and not loaded.report.notes
    assert loaded.config.size == (24, 40) and loaded.config.heads == 2
    assert loaded.recipe["data"]["init_args"] == {"mean": [0.3], "std": [0.2], "eval_crop": 0.9}
    assert loaded.recipe["licence"] == "mit" and loaded.model.answers.classes == ("a", "b", "c")
    x = signal(other)
    assert_close(loaded.model.eval()(x), other(x), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_a_folder_that_timm_itself_writes(tmp_path):
    args = {**WIDE, "num_classes": 7, "global_pool": "avg"}
    other = timm.create_model("vit_tiny_patch16_224.augreg_in21k_ft_in1k", **args).eval()
    save_for_hf(other, tmp_path, model_args=args)
    loaded = load_with_report(tmp_path)
    assert loaded.report.complete and not loaded.report.notes
    assert loaded.recipe["licence"] == "apache-2.0" and loaded.config.size == (24, 40)
    x = signal(other)
    assert_close(loaded.model.eval()(x), other(x), rtol=1e-5, atol=1e-5)


def test_a_thousand_classes_are_those_of_imagenet(tmp_path):
    written(tmp_path, timm_model(num_classes=1000))
    classes = load_with_report(tmp_path, heads=4).model.answers.classes
    assert classes[0] == "n01440764" and list(classes) == sorted(classes) and len(classes) == 1000


OTHERS = [
    ({"init_values": 1e-5}, "LayerScale"),
    ({"reg_tokens": 4}, "register tokens"),
    ({"class_token": False, "global_pool": "avg"}, "no class token"),
    ({"qkv_bias": False}, "no bias of queries, keys and values"),
    ({"no_embed_class": True}, "no row for the class token"),
    ({"pre_norm": True}, "a norm before the blocks"),
    ({"qk_norm": True}, "normalised queries and keys"),
    ({"mlp_ratio": 3}, "an MLP of 96 values"),
    ({"pos_embed": "none"}, "no table of positions"),
    (
        {"img_size": (24, 40)},
        "15 positions of patches of (8, 8), beside the class token's, are no square",
    ),
]


@pytest.mark.parametrize(("settings", "what"), OTHERS)
def test_what_cannot_be_represented_is_named(tmp_path, settings, what):
    written(tmp_path, timm_model(**settings))
    with pytest.raises(ValueError) as caught:
        load_with_report(tmp_path, heads=4)
    assert what in str(caught.value)


UNSEEN = [
    ({"architecture": "vit_base_patch16_clip_quickgelu_224"}, "QuickGELU"),
    ({"architecture": "resnet18"}, "no plain vision transformer"),
    ({"architecture": "never_heard_of"}, "knows no architecture never_heard_of"),
    ({"architecture": "vit_base_patch16_224", "num_classes": 5, "global_pool": "max"}, "max"),
]


@pytest.mark.parametrize(("config", "what"), UNSEEN)
def test_what_no_weight_shows_is_read_in_the_config(tmp_path, config, what):
    written(tmp_path, timm_model(num_classes=5), **config)
    with pytest.raises(ValueError, match=what):
        load_with_report(tmp_path)
