"""Equal to the official VideoMAE (Tong et al. 2022) and to transformers' with the same weights."""

import sys
from pathlib import Path

import pytest
import torch
import transformers
from torch.testing import assert_close

from maskedae import Mask, create_model, list_models
from maskedae.answers import Answers
from maskedae.classifier import Classifier
from maskedae.codes import sinusoid
from maskedae.models.layouts.clips import without_keys
from maskedae.models.layouts.videomae_names import NAMED, PRETRAINED
from maskedae.models.layouts.videomae_transformers import booleans, in_order
from maskedae.optim import adamw
from maskedae.tubes import TubeMasker
from maskedae.zoo import model_config

sys.path.append(str(Path(__file__).parents[1]))
from golden import fill, images  # noqa: E402

NAME = "videomae_vit_base_patch16"
CLIP = (2, 3, 16, 32, 32)


@pytest.fixture
def filled(tiny_clips):
    def build(**overrides):
        model = create_model(NAME, **tiny_clips, **overrides)
        fill(without_keys(PRETRAINED.to_theirs(dict(model.named_parameters()))))
        return model

    return build


@pytest.fixture
def mask():
    """Places 0 and 7 of every slot are visible."""
    numbers = torch.arange(128).view(8, 16)
    visible = numbers[:, [0, 7]].flatten()
    hidden = numbers[:, [place for place in range(16) if place not in (0, 7)]].flatten()
    return Mask(visible.expand(2, -1), hidden.expand(2, -1))


@pytest.mark.parametrize(
    ("normalize", "loss"), [(True, 1.0033743381500244), (False, 0.23873932659626007)]
)
def test_loss(filled, mask, normalize, loss):
    out = filled(normalize_target=normalize)(images(*CLIP), mask=mask)
    assert out.loss.item() == pytest.approx(loss, rel=1e-5)


def test_predictions_and_labels(filled, mask):
    model, x = filled(), images(*CLIP)
    prediction = model(x, mask=mask).prediction
    assert prediction.shape == (2, 112, 384)
    first = torch.tensor([0.0590834, 0.0873984, 0.0381623])
    assert_close(prediction[0, 0, :3], first, atol=1e-6, rtol=1e-5)
    labels = torch.tensor([-0.0196627, -0.9896639, -0.1882426])
    assert_close(model.target(x, mask.hidden)[0, 0, :3], labels, atol=1e-6, rtol=1e-5)


def test_visible_patches(filled):
    noise = torch.tensor([(5 * i) % 16 / 16 for i in range(16)]).repeat(1, 8)
    mask = filled().draw_mask(1, noise=noise)
    assert {number % 16 for number in mask.visible[0].tolist()} == {0, 13}
    assert mask.visible.shape == (1, 16) and mask.hidden.shape == (1, 112)


def test_position_table():
    row = torch.tensor([0.841471, 0.540302, 0.533168, 0.846009])
    assert_close(sinusoid(4, 32)[1, :4], row, atol=1e-6, rtol=1e-6)


def config(settings, **other):
    """The config of transformers for a model of ours."""
    frames, tall, wide = settings["size"]
    return transformers.VideoMAEConfig(
        image_size=[tall, wide],
        patch_size=settings["patch"][1],
        num_channels=settings.get("channels", 3),
        num_frames=frames,
        tubelet_size=settings["patch"][0],
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        decoder_hidden_size=16,
        decoder_num_hidden_layers=1,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=64,
        layer_norm_eps=1e-6,
        **other,
    )


def pairs(model, other):
    """Parameters under the names of files of transformers, ours and theirs."""
    theirs = {
        name.replace("query.bias", "q_bias").replace("value.bias", "v_bias"): tensor
        for name, tensor in other.named_parameters()
    }
    ours = without_keys(NAMED.to_theirs(dict(model.named_parameters())))
    assert ours.keys() == theirs.keys()
    return ours, theirs


def copy(model, other):
    """Give both the same weights, whose biases, too, differ from zero."""
    ours, theirs = pairs(model, other)
    for name, tensor in ours.items():
        tensor.data += 0.02 * torch.randn_like(tensor)
        theirs[name].data.copy_(tensor.data)


CASES = [
    ((16, 32, 32), (2, 8, 8), 3, 0.9, True),
    ((8, 24, 40), (4, 8, 8), 3, 0.5, False),
    ((3, 14, 21), (1, 7, 7), 1, 0.6, True),
]


@pytest.mark.parametrize(("size", "patch", "channels", "ratio", "normalize"), CASES)
def test_loss_prediction_and_gradients(tiny, size, patch, channels, ratio, normalize):
    settings = {**tiny, "size": size, "patch": patch, "channels": channels}
    # Its last norm adds 1e-5, whatever its config says; with one channel it does not rescale.
    same = {"last_norm_eps": 1e-5} | ({} if channels == 3 else {"mean": (0.0,), "std": (1.0,)})
    model = create_model(NAME, TubeMasker(ratio), **settings, normalize_target=normalize, **same)
    norm = {"norm_pix_loss": normalize, "use_mean_pooling": False}
    other = transformers.VideoMAEForPreTraining(config(settings, **norm))
    copy(model, other)
    x = torch.randn(2, channels, *size)
    mask = in_order(model.draw_mask(2))
    out = model(x, mask=mask)
    expected = other(x.transpose(1, 2), bool_masked_pos=booleans(mask))
    assert_close(out.loss, expected.loss, rtol=1e-5, atol=1e-6)
    assert_close(out.prediction, expected.logits, rtol=1e-5, atol=2e-6)
    out.loss.backward()
    expected.loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    ours = without_keys(NAMED.to_theirs(gradients))
    for name, parameter in pairs(model, other)[1].items():
        scale = parameter.grad.abs().max().item()
        assert_close(ours[name], parameter.grad, rtol=1e-5, atol=1e-5 * scale)
    for name, gradient in gradients.items():
        if name.endswith("qkv.bias"):
            assert (gradient.chunk(3)[1] == 0).all()


def test_logits(tiny_clips):
    encoder = create_model(NAME, **tiny_clips, last_norm_eps=1e-5).encoder
    model = Classifier(encoder, Answers("class", tuple("abcde")))
    other = transformers.VideoMAEForVideoClassification(config(tiny_clips, num_labels=5))
    copy(model, other)
    x = torch.randn(*CLIP)
    assert_close(model(x), other(x.transpose(1, 2)).logits, rtol=1e-5, atol=1e-5)


SIZES = [
    ("small", (384, 12, 6), (192, 4, 3)),
    ("base", (768, 12, 12), (384, 4, 6)),
    ("large", (1024, 24, 16), (512, 12, 8)),
    ("huge", (1280, 32, 16), (640, 12, 8)),
]


@pytest.mark.parametrize(("name", "encoder", "decoder"), SIZES)
def test_sizes(name, encoder, decoder):
    c = model_config(f"videomae_vit_{name}_patch16")
    assert (c.width, c.depth, c.heads) == encoder
    assert (c.decoder_width, c.decoder_depth, c.decoder_heads) == decoder
    assert c.size == (16, 224, 224) and c.patch == (2, 16, 16)
    with torch.device("meta"):
        model = create_model(f"videomae_vit_{name}_patch16")
    assert model.masker == TubeMasker(0.9) and model.encoder.grid == (8, 14, 14)
    assert model.decoder.head.out_features == 1536


@pytest.mark.parametrize("name", list_models("videomae_*"))
def test_parameter_counts(name):
    """As many as in transformers' model of that size, and the biases of keys, which are zero."""
    c = model_config(name)
    with torch.device("meta"):
        model = create_model(name)
        sizes = transformers.VideoMAEConfig(
            hidden_size=c.width,
            num_hidden_layers=c.depth,
            num_attention_heads=c.heads,
            intermediate_size=4 * c.width,
            decoder_hidden_size=c.decoder_width,
            decoder_num_hidden_layers=c.decoder_depth,
            decoder_intermediate_size=4 * c.decoder_width,
            decoder_num_attention_heads=c.decoder_heads,
            use_mean_pooling=False,
        )
        other = transformers.VideoMAEForPreTraining(sizes)
    keys = c.depth * c.width + c.decoder_depth * c.decoder_width
    counts = [sum(p.numel() for p in part.parameters()) for part in (model, other)]
    assert counts[0] - keys == counts[1]


def test_initialisation():
    model = create_model(NAME, size=(4, 64, 64), depth=2, decoder_depth=1)
    named = PRETRAINED.to_theirs(dict(model.named_parameters()))
    assert named["mask_token"].abs().max() <= 0.02
    assert named["mask_token"].std().item() == pytest.approx(0.0108, rel=0.15)
    for name, tensor in named.items():
        if "norm" in name:
            assert (tensor == (1 if name.endswith("weight") else 0)).all()
        elif "patch_embed" in name or name == "encoder_to_decoder.weight":
            limit = 768**-0.5 if "decoder" in name else (3 * 2 * 16**2) ** -0.5
            assert limit * 0.95 < tensor.abs().max() <= limit * (1 + 1e-6)
            assert tensor.std().item() == pytest.approx(limit / 3**0.5, rel=0.05)
        elif name.endswith("bias"):
            assert (tensor == 0).all()
        elif tensor.ndim == 2:
            limit = (6 / sum(tensor.shape)) ** 0.5
            assert limit * 0.99 < tensor.abs().max() <= limit * (1 + 1e-6)
            assert tensor.std().item() == pytest.approx(limit / 3**0.5, rel=0.02)


def test_the_encoder_has_neither_class_token_nor_stored_positions(tiny_clips):
    model = create_model(NAME, **tiny_clips)
    names = [*model.state_dict(), *dict(model.named_parameters())]
    assert not any("class_token" in name or "positions" in name for name in names)
    assert all(p.numel() for p in model.parameters())


def test_what_is_not_decayed_in_pre_training(tiny_clips):
    """One axis, and the mask token; a class token and stored positions it has not."""
    model = create_model(NAME, **tiny_clips)
    groups = adamw(model, 0.05, (0.9, 0.95)).param_groups
    names = {parameter: name for name, parameter in model.named_parameters()}
    for group in groups:
        for parameter in group["params"]:
            bare = parameter.ndim == 1 or names[parameter] == "decoder.mask_token"
            assert group["weight_decay"] == (0 if bare else 0.05)
    assert sum(len(group["params"]) for group in groups) == len(names)
