"""Encoder, decoder and the whole: what must be true of any masked autoencoder."""

import pytest
import timm
import torch
from torch.testing import assert_close

from maskedae import Mask, RandomMasker, create_model, list_models
from maskedae.autoencoder import patch_mean_error
from maskedae.masking import take
from maskedae.patches import patchify
from maskedae.transformer import set_checkpointing
from maskedae.zoo import model_config


@pytest.fixture
def model(tiny):
    return create_model("mae_vit_base_patch16", **tiny).eval()


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 32)


def test_the_encoder_is_blind_to_what_is_hidden(model, images):
    images.requires_grad_()
    mask = model.draw_mask(2)
    model.encoder.forward_features(images, mask.visible).square().sum().backward()
    gradient = patchify(images.grad, (8, 8))
    assert (take(gradient, mask.hidden) == 0).all()
    assert (take(gradient, mask.visible) != 0).any(dim=-1).all()


def test_predictions_are_blind_to_what_is_hidden(model, images):
    mask = model.draw_mask(2)
    before = model(images, mask=mask).prediction
    noise = torch.randn(2, 16, 192).scatter(1, mask.visible.unsqueeze(-1).expand(-1, -1, 192), 0)
    from maskedae.patches import unpatchify

    after = model(images + unpatchify(noise, (4, 4), (8, 8)), mask=mask).prediction
    assert before.equal(after)


def test_the_decoder_does_not_care_about_the_order_of_visible_patches(model, images):
    mask = model.draw_mask(2)
    other = Mask(mask.visible.flip(1), mask.hidden)
    assert_close(model(images, mask=mask).prediction, model(images, mask=other).prediction)


def test_predictions_follow_the_order_of_hidden_patches(model, images):
    mask = model.draw_mask(2)
    other = Mask(mask.visible, mask.hidden.flip(1))
    first, second = model(images, mask=mask), model(images, mask=other)
    assert_close(first.prediction, second.prediction.flip(1))
    assert_close(first.loss, second.loss)


def test_the_loss_is_over_hidden_patches_only(model, images):
    mask = model.draw_mask(2)
    out = model(images, mask=mask)
    target = model.target(images, mask.hidden)
    assert_close(out.loss, (out.prediction - target).square().mean())
    assert out.metrics["baseline"] == patch_mean_error(target)


def test_the_baseline_is_the_loss_of_predicting_patch_means():
    target = torch.tensor([[[1.0, 3.0], [5.0, 5.0]]])
    assert patch_mean_error(target) == 0.5


def test_the_encoder_never_masks_unless_told(model, images):
    first, second = model.encoder(images), model.encoder(images)
    assert first.shape == (2, 16, 32) and first.equal(second)
    every = torch.arange(16).expand(2, -1)
    assert_close(model.encoder(images, every), first)


def test_the_encoder_is_timm_s_vision_transformer(model, images):
    """The names of its weights but for three are timm's, and so are its numbers."""
    other = timm.models.vision_transformer.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=4, num_classes=0
    ).eval()
    names = {"class_token": "cls_token", "positions.table": "pos_embed"}
    state = {
        names.get(k, k.replace("embed.", "patch_embed.proj.")): v
        for k, v in model.encoder.state_dict().items()
    }
    other.load_state_dict(state)
    assert_close(model.encoder.forward_features(images), other.forward_features(images))
    for options in ({}, {"indices": 1}, {"indices": [0, -1], "norm": True}, {"output_fmt": "NLC"}):
        _, mine = model.encoder.forward_intermediates(images, **options)
        _, theirs = other.forward_intermediates(images, **options)
        assert len(mine) == len(theirs)
        for a, b in zip(mine, theirs, strict=True):
            assert_close(a, b)
    mine = model.encoder.forward_intermediates(
        images, return_prefix_tokens=True, intermediates_only=True
    )
    assert mine[1][0].shape == (2, 32, 4, 4) and mine[1][1].shape == (2, 1, 32)


def test_feature_maps_keep_the_aspect(tiny):
    encoder = create_model("mae_vit_base_patch16", **{**tiny, "size": (16, 40)}).encoder
    maps = encoder.forward_intermediates(torch.randn(1, 3, 16, 40), intermediates_only=True)
    assert maps[-1].shape == (1, 32, 2, 5)


def test_pooling(model, images):
    tokens = model.encoder.forward_features(images)
    assert_close(model.encoder.pool(tokens), tokens[:, 1:].mean(1))
    assert model.encoder.pool(tokens, "class").equal(tokens[:, 0])


@pytest.mark.parametrize("shape", [(3, 40, 32), (1, 32, 32), (3, 32)])
def test_signals_of_another_shape_are_refused(model, shape):
    with pytest.raises(ValueError, match=r"built for \(3, 32, 32\).*size="):
        model.encoder(torch.randn(2, *shape))


OF_ONE_SIGNAL = [name for name in list_models("*vit*") if "size" in vars(model_config(name))]


@pytest.mark.parametrize("name", OF_ONE_SIGNAL)
def test_every_model_takes_a_step_at_an_odd_size(name, tiny):
    axes = len(model_config(name).size)
    size, patch = (4, 24, 40)[-axes:], (2, 8, 10)[-axes:]
    overrides = {**tiny, "size": size, "patch": patch, "channels": 2}
    model = create_model(name, RandomMasker(0.6), **overrides)
    model(torch.randn(2, 2, *size)).loss.backward()
    for key, parameter in model.named_parameters():
        assert not parameter.requires_grad or parameter.grad.abs().sum() > 0, key


def test_a_batch_can_be_overfitted(tiny):
    model = create_model("mae_vit_base_patch16", **tiny)
    images, noise = torch.randn(4, 3, 32, 32), torch.rand(4, 16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    first = model(images, noise=noise).loss.item()
    for _ in range(150):
        loss = model(images, noise=noise).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < first / 2


def test_checkpointing_changes_no_gradient(tiny):
    images, noise = torch.randn(2, 3, 32, 32), torch.rand(2, 16)
    model = create_model("mae_vit_base_patch16", **tiny)
    model(images, noise=noise).loss.backward()
    kept = {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}
    model.zero_grad()
    set_checkpointing(model, True)
    model(images, noise=noise).loss.backward()
    assert all(p.grad.equal(kept[n]) for n, p in model.named_parameters() if n in kept)


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("mae_vit_bas_patch16", {}, "did you mean mae_vit_base_patch16"),
        ("mae_vit_base_patch16", {"sise": 32}, "did you mean size"),
        ("mae_vit_base_patch16", {"size": 225}, r"\(224, 224\) would fit"),
    ],
)
def test_wrong_names_and_sizes_are_refused_with_the_nearest(name, overrides, message):
    with pytest.raises(ValueError, match=message):
        create_model(name, **overrides)
