"""Classifiers: heads, dropped paths, layer-wise decay, and timm's conventions."""

import copy
import inspect

import pytest
import timm
import torch
from timm.models._features import FeatureGetterNet
from timm.optim import param_groups_layer_decay
from torch.testing import assert_close

import maskedae
from maskedae import create_model
from maskedae.answers import Answers
from maskedae.checkpoints import WEIGHTS, write_weights
from maskedae.classifier import Classifier
from maskedae.optim import adamw, lars
from maskedae.transformer import keep_paths, set_drop_path

FIVE = Answers("class", ("a", "b", "c", "d", "e"))


@pytest.fixture
def encoder(tiny):
    return create_model("mae_vit_base_patch16", **tiny).encoder


@pytest.fixture
def images():
    return torch.randn(6, 3, 32, 32)


def test_parameters_are_those_published():
    thousand = Answers("class", tuple(map(str, range(1000))))
    for name, count, keys in [
        ("mae_vit_base_patch16", 86_567_656, 152),
        ("mae_vit_large_patch16", 304_326_632, 296),
        ("mae_vit_huge_patch14", 632_045_800, 392),
    ]:
        with torch.device("meta"):
            model = Classifier(create_model(name).encoder, thousand)
        assert sum(p.numel() for p in model.parameters()) == count
        assert len(model.state_dict()) == keys


def test_layer_decay_is_that_published():
    with torch.device("meta"):
        model = Classifier(create_model("mae_vit_base_patch16").encoder, FIVE)
    model.requires_grad_(True)
    groups = adamw(model, 0.05, (0.9, 0.999), layer_decay=0.65).param_groups
    assert len(groups) == 28
    assert min(g["lr_scale"] for g in groups) == pytest.approx(0.00369721, rel=1e-5)
    scales = {p: (g["lr_scale"], g["weight_decay"]) for g in groups for p in g["params"]}
    e = model.encoder
    assert scales[e.positions.table] == scales[e.class_token] == (0.65**13, 0)
    assert scales[e.embed.weight] == (0.65**13, 0.05)
    assert scales[e.blocks[11].mlp.fc1.weight] == (0.65, 0.05)
    assert scales[e.head.norm.weight] == (1, 0) and scales[e.head.linear.weight] == (1, 0.05)


def test_lars_takes_the_step_that_is_published():
    layer = torch.nn.Linear(7, 3)
    start = [p.detach().clone() for p in layer.parameters()]
    optimizer = lars(layer, 0.0)
    for group in optimizer.param_groups:
        group["lr"] = 6.4
    moments = [torch.zeros_like(p) for p in start]
    for _ in range(3):
        x = torch.randn(5, 7)
        layer.zero_grad()
        layer(x).square().sum().backward()
        for k, p in enumerate(layer.parameters()):
            scale = 0.001 * start[k].norm() / p.grad.norm() if p.ndim > 1 else 1
            moments[k] = 0.9 * moments[k] + p.grad * scale
            start[k] = start[k] - 6.4 * moments[k]
        optimizer.step()
        for mine, p in zip(start, layer.parameters(), strict=True):
            assert_close(p.data, mine)


def test_dropped_paths_belong_to_the_sample(encoder, images):
    model = Classifier(encoder, FIVE).train()
    set_drop_path(model, 0.5)
    noise = torch.rand(6, 4)
    whole = model(images, noise)
    parts = torch.cat([model(images[:2], noise[:2]), model(images[2:], noise[2:])])
    assert_close(whole, parts)
    assert not model(images, 1 - noise).allclose(whole)
    given = torch.tensor([[0.9, 0.0, 0.3, 0.7]]).expand(6, -1)
    kept = keep_paths(model.encoder.blocks, images, given)
    assert kept[0].tolist() == [[1, 1], [0, 2]]
    model.eval()
    assert_close(model(images, noise), model(images))


def test_what_is_dropped_is_made_up_for(encoder):
    set_drop_path(encoder, 0.4)
    keeps = keep_paths(encoder.blocks, torch.empty(20_000, 1))
    assert_close(keeps.mean(dim=0), torch.ones(2, 2), atol=0.02, rtol=0)
    assert keeps[:, 0].eq(1).all()
    with pytest.raises(ValueError, match="a drop path of 1.0; a share"):
        set_drop_path(encoder, 1.0)


def test_gradients_equal_those_of_timm(encoder, images):
    """With the mean of the patches, as MAE is fine-tuned."""
    other = timm.models.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=4, num_classes=5,
        global_pool="avg",
    )  # fmt: skip
    model = Classifier(encoder, FIVE)
    model.requires_grad_(True)
    names = {
        "class_token": "cls_token",
        "positions.table": "pos_embed",
        "embed.weight": "patch_embed.proj.weight",
        "embed.bias": "patch_embed.proj.bias",
        "head.norm.": "fc_norm.",
        "head.linear.": "head.",
    }
    theirs = dict(other.named_parameters())

    def fellow(name):
        name = name.removeprefix("encoder.")
        for ours, his in names.items():
            name = name.replace(ours, his, 1) if name.startswith(ours) else name
        return theirs[name]

    for name, parameter in model.named_parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
        fellow(name).data.copy_(parameter.data)
    assert len(theirs) == len(list(model.parameters()))
    labels = torch.tensor([0, 1, 2, 3, 4, 0])
    logits, expected = model(images), other(images)
    assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    for out in (logits, expected):
        torch.nn.functional.cross_entropy(out, labels, label_smoothing=0.1).backward()
    for name, parameter in model.named_parameters():
        gradient = fellow(name).grad
        if name.endswith("qkv.bias"):  # what keys are shifted by changes nothing
            keep = [0, 2]
            parts = [torch.stack(g.chunk(3))[keep] for g in (parameter.grad, gradient)]
            assert_close(*parts, rtol=1e-5, atol=1e-5 * gradient.abs().max().item())
        else:
            limit = 1e-5 * gradient.abs().max().item()
            assert_close(parameter.grad, gradient, rtol=1e-5, atol=limit, msg=name)


def test_batch_norm_of_the_linear_probe(encoder, images):
    model = Classifier(encoder, FIVE, pool="class", batch_norm=True)
    features = model.encoder.forward_features(images)[:, 0]
    model.train()
    mean, deviation = features.mean(0), features.var(0, unbiased=False)
    expected = (features - mean) / (deviation + 1e-6).sqrt()
    expected = model.encoder.head.linear(expected)
    assert_close(model(images), expected)
    assert not [n for n, _ in model.encoder.head.named_parameters() if n.startswith("norm")]


def test_the_norm_of_the_encoder_can_go_on(images, tiny, tiny_clips):
    """As spatiotemporal MAEs are fine-tuned: the mean of the patches, then the norm they had."""
    clips = torch.randn(2, 3, 16, 32, 32)
    for name, signal, settings in [
        ("mae_vit_base_patch16", images, tiny),
        ("mae_st_vit_base_patch16", clips, tiny_clips),
    ]:
        encoder = create_model(name, **settings).encoder
        for parameter in encoder.norm.parameters():
            torch.nn.init.normal_(parameter)
        norm = copy.deepcopy(encoder.norm)
        bare = encoder.blocks(encoder.tokens(signal))[:, 1:].mean(dim=1)
        model = Classifier(encoder, FIVE, keep_norm=True)
        assert_close(model(signal), encoder.head.linear(norm(bare)))
        again = Classifier(encoder, Answers("class", ("a", "b")), keep_norm=True)
        assert_close(again.encoder.head.norm.weight, norm.weight)
        fresh = Classifier(encoder, FIVE)
        assert (fresh.encoder.head.norm.weight == 1).all()


def test_dropout_is_for_training(encoder, images, tmp_path):
    model = Classifier(encoder, FIVE, dropout=0.5)
    features = model.encoder.forward_features(images)
    torch.nn.init.normal_(model.encoder.head.linear.weight)
    head = model.encoder.head
    pooled = head(features, pre_logits=True)
    noise = torch.rand(len(images), model.encoder.noise_size)
    kept = pooled * (noise[:, 2 * model.encoder.depth :] >= 0.5) * 2
    assert_close(model.train()(images, noise), head.linear(kept))
    # What is dropped belongs to the sample, not to its place in a batch.
    assert_close(model(images.flip(0), noise.flip(0)), head.linear(kept).flip(0))
    assert not model(images).allclose(model(images))
    model.eval()
    assert_close(model(images), head.linear(pooled))
    model.save_pretrained(tmp_path)
    loaded = maskedae.load(tmp_path)
    assert loaded.encoder.head.dropout == 0.5 and not loaded.training
    assert_close(loaded(images), model(images))


def test_what_was_saved_before_there_was_dropout_loads(encoder, images, tmp_path):
    model = Classifier(encoder, FIVE).eval()
    recipe = {**model.encoder.recipe, "head": dict(model.description)}
    del recipe["head"]["dropout"]
    write_weights(tmp_path / WEIGHTS, model.state_dict(), recipe)
    loaded = maskedae.load(tmp_path / WEIGHTS)
    assert loaded.encoder.head.dropout == 0
    assert_close(loaded(images), model(images))


def test_head_in_timm_s_words(encoder, images):
    tokens = encoder.forward_features(images)
    assert_close(encoder.forward_head(tokens), tokens[:, 1:].mean(dim=1))
    encoder.reset_classifier(7, "token")
    assert encoder.forward_head(tokens).shape == (6, 7) and encoder.num_classes == 7
    assert_close(encoder.forward_head(tokens, pre_logits=True), tokens[:, 0])
    encoder.reset_classifier(7, "avg")
    assert isinstance(encoder.norm, torch.nn.Identity)
    encoder.reset_classifier(0)
    assert encoder.forward_head(tokens).shape == (6, 32)
    assert not isinstance(encoder.head.norm, torch.nn.Identity)  # as trained
    encoder.reset_classifier(0, "token")
    assert isinstance(encoder.norm, torch.nn.LayerNorm)
    with pytest.raises(ValueError, match="no pooling is called max"):
        encoder.reset_classifier(3, "max")


def test_timm_takes_the_encoder_for_one_of_its_own(encoder, images):
    plain = encoder.forward_intermediates(images, intermediates_only=True)
    getter = FeatureGetterNet(copy.deepcopy(encoder), out_indices=(0,))
    assert len(getter.model.blocks) == 1 and getter.feature_info.channels() == [32]
    assert getter.feature_info.reduction() == [8]
    assert_close(getter(images)[0], plain[0])
    groups = param_groups_layer_decay(encoder, 0.05, encoder.no_weight_decay(), layer_decay=0.5)
    assert min(g["lr_scale"] for g in groups) == 0.5**3
    assert (encoder.num_features, encoder.num_prefix_tokens) == (32, 1)
    assert encoder.get_classifier() is encoder.head.linear
    signature = list(inspect.signature(encoder.forward_intermediates).parameters)
    theirs = list(inspect.signature(timm.models.VisionTransformer.forward_intermediates).parameters)
    assert signature[1:] == theirs[2 : len(signature) + 1]
    early = encoder.forward_intermediates(images, [0], stop_early=True, intermediates_only=True)
    assert_close(early[0], plain[0])
    encoder.train()
    expected = encoder(images)
    encoder.set_grad_checkpointing(True)
    again = encoder(images)
    assert_close(again, expected)
    assert encoder.blocks.checkpointing
