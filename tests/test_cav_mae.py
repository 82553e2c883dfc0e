"""CAV-MAE: blocks that both share, a decoder of both, and files as others write them."""

import math
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from maskedae import create_model
from maskedae.answers import Answers
from maskedae.autoencoder import MaskedAutoencoder
from maskedae.checkpoints import write_weights
from maskedae.classifier import Classifier
from maskedae.codes import sincos
from maskedae.contrast import info_nce
from maskedae.masking import RandomMasker, take
from maskedae.models.cav_mae import MODELS, inherit
from maskedae.models.layouts.cav_mae import OFFICIAL, export
from maskedae.pairs import Pair, PairMasker
from maskedae.patches import patchify
from maskedae.weights import load_with_report
from maskedae.zoo import model_config

sys.path.append(str(Path(__file__).parent))
from making import made  # noqa: E402
from pairing import TINY, gradients, pair  # noqa: E402

FRAME = {"video_size": (1, 32, 32), "video_patch": (1, 8, 8)}
SOUNDS, PICTURES = 32, 16  # patches
PRESENT = (1, 1, 0, 1, 0), (1, 0, 1, 1, 0)


def cav(**settings):
    return create_model("cav_mae_vit_base", **{**TINY, **FRAME, **settings})


def samples(heard=(1, 1), seen=(1, 1), fill=None):
    """Samples of chance with one picture each."""
    found = pair(heard, seen, fill)
    return Pair(found.audio, found.video[:, :, :1], *found.present)


def shaken(model):
    """No weight is as at first."""
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model.eval()


def test_the_loss_is_the_sum_of_its_terms():
    model, signal = shaken(cav()), samples((1, 1, 1), (1, 1, 1))
    (masks,) = model.draw_mask(3)
    out, m = model(signal, (masks,)), model(signal, (masks,)).metrics
    assert_close(out.loss, m["audio"] + m["video"] + 0.01 * m["inter"])
    assert set(m) == {"audio", "video", "inter", "baseline"}
    audio, video = model.encoder.vectors(signal, [mask.visible for mask in masks])
    assert_close(m["inter"], info_nce(video, audio, 0.05, symmetric=False))
    assert not m["inter"].isclose(info_nce(audio, video, 0.05, symmetric=False))
    sides = (signal.audio, signal.video)
    for name, x, target, side, mask in zip(
        ("audio", "video"), out.prediction, model.targets, sides, masks, strict=True
    ):
        assert_close(m[name], F.mse_loss(x, target(side, mask.hidden)))
    assert [x.shape for x in out.prediction] == [(3, 24, 64), (3, 12, 192)]


@pytest.mark.parametrize("weight", [0.01, 0.0])
@pytest.mark.parametrize("present", [((1, 1), (1, 1)), ((1, 0), (0, 0)), ((0, 0), (0, 1))])
def test_every_weight_gets_a_finite_gradient(weight, present):
    model = cav(inter_weight=weight)
    found = gradients(model, model(samples(*present, fill=math.nan)).loss)
    assert all(grad.isfinite().all() for grad in found.values())
    for name in ("encoder.audio.norm.weight", "encoder.fusion.norms.1.0.1.bias"):
        assert (name in found) == (weight > 0)


@pytest.mark.parametrize("fill", [1e6, torch.nan])
def test_what_stands_for_what_is_absent_means_nothing(fill):
    model = cav()
    signal, masks = samples(*PRESENT, fill=0.0), model.draw_mask(5)
    other = Pair(signal.audio.clone(), signal.video.clone(), *signal.present)
    other.audio[~other.heard], other.video[~other.seen] = fill, fill
    outs = [model(signal, masks), model(other, masks)]
    assert outs[0].loss.equal(outs[1].loss)
    grads = [gradients(model, out.loss) for out in outs]
    assert all(grad.equal(grads[1][name]) for name, grad in grads[0].items())
    for ask in (model.encoder.forward_features, model.encoder.vectors):
        assert_close(ask(signal), ask(other), equal_nan=True, rtol=0, atol=0)


def test_nothing_of_what_is_absent_is_decoded():
    model, signal = shaken(cav()), samples((1, 1), (1, 0))
    masks = model.draw_mask(2)
    before = model(signal, masks).prediction[0]
    model.decoder.positions[1].mark.data += 3 * torch.randn(1, 1, 32)
    after = model(signal, masks).prediction[0]
    assert after[1].equal(before[1]) and not after[0].allclose(before[0])


def test_nothing_changes_where_nothing_may_be_absent():
    model, signal = shaken(cav()), samples()
    masks = model.draw_mask(2)
    before = model(signal, masks)
    model.encoder.lacking = False
    assert_close(model(signal, masks).loss, before.loss)


def test_predictions_are_blind_to_what_is_hidden_and_made_of_both():
    model, signal = shaken(cav()), samples()
    (masks,) = model.draw_mask(2)
    sides = signal.audio.requires_grad_(), signal.video.requires_grad_()
    for prediction in model(signal, (masks,)).prediction:
        found = torch.autograd.grad(prediction.square().sum(), sides, retain_graph=True)
        for grad, patch, mask in zip(found, ((8, 8), (1, 8, 8)), masks, strict=True):
            assert (take(patchify(grad, patch), mask.hidden) == 0).all()
            assert (take(patchify(grad, patch), mask.visible) != 0).any(dim=-1).all()


def test_order_does_not_matter_to_the_decoder():
    model, signal = shaken(cav()), samples()
    (masks,) = model.draw_mask(2)
    tokens = model.encoder.latent(signal, [mask.visible for mask in masks])
    hidden = model.decoder(tokens, masks)
    for x, whole, mask in zip(hidden, model.decoder.imagine(tokens, masks), masks, strict=True):
        assert_close(x, take(whole, mask.hidden))


def test_shared_blocks_have_norms_of_each():
    encoder, signal = shaken(cav(shared_depth=2)).encoder, samples()
    x = encoder.audio.blocks(encoder.audio.tokens(signal.audio))
    for block, (first, second) in zip(encoder.fusion.blocks, encoder.fusion.norms[0], strict=True):
        x = x + block.attn(first(x))
        x = x + block.mlp(second(x))
    assert_close(encoder.each(signal)[0], encoder.audio.norm(x))
    assert_close(encoder.vectors(signal)[0], encoder.audio.norm(x).mean(dim=1))
    other = Pair(signal.audio, torch.randn_like(signal.video), *signal.present)
    assert encoder.vectors(other)[0].equal(encoder.vectors(signal)[0])
    assert not encoder(other)[:, :SOUNDS].allclose(encoder(signal)[:, :SOUNDS])


def test_a_batch_can_be_overfitted():
    model, signal = cav(inter_weight=0.1), samples()
    masks = model.draw_mask(2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    first = model(signal, masks).metrics
    for _ in range(100):
        out = model(signal, masks)
        out.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert all(out.metrics[name] < 0.6 * first[name] for name in ("audio", "video", "inter"))


def test_it_compiles_as_one_graph():
    model, signal = cav().eval(), samples((1, 1), (1, 0))
    masks = model.draw_mask(2)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    assert_close(compiled(signal, mask=masks).loss, model(signal, mask=masks).loss)


def test_a_picture_of_what_is_imagined():
    model, signal = shaken(cav()), samples((1,), (0,))
    seen = model.picture(signal, model.masker, torch.rand(1, model.noise_size))
    assert seen.whole.video.isnan().all() and seen.whole.audio.isfinite().all()
    assert seen.share == 24 / 32 and math.isfinite(seen.loss)


def test_codes_of_places_are_those_of_a_spectrogram_turned_and_of_an_image():
    model = cav(audio_size=(64, 24))
    audio, video = (part.positions for part in model.encoder.parts)
    turned = sincos((3, 8), 48).view(3, 8, 48).transpose(0, 1)
    assert audio.table.view(8, 3, 48).equal(turned)
    assert video.table[0].equal(sincos((4, 4), 48))
    assert_close(audio(), audio.table + audio.mark)
    assert model.decoder.positions[1].table[0].equal(sincos((4, 4), 32))


CLASSES = Answers("classes", ("a", "b", "c"))


def classifier(**settings):
    model = shaken(Classifier(cav().encoder, CLASSES, **settings))
    nn.init.normal_(model.encoder.head.linear.weight)
    return model


def test_a_classifier_sees_the_mean_of_all_patches_there_are():
    model, signal = classifier(), samples((1, 1, 0), (1, 0, 1), fill=math.nan)
    encoder = model.encoder
    x = encoder.forward_features(signal)
    assert x.shape == (3, SOUNDS + PICTURES, 48) and encoder.num_features == 48
    vectors = torch.stack([x[0].mean(0), x[1, :SOUNDS].mean(0), x[2, SOUNDS:].mean(0)])
    expected = encoder.head.linear(encoder.head.norm(vectors))
    assert_close(model(signal), expected, rtol=1e-4, atol=1e-5)
    assert isinstance(encoder.norm, nn.LayerNorm)
    encoder.lacking = False
    assert_close(model(signal[:1]), expected[:1], rtol=1e-4, atol=1e-5)
    neither = model(samples((0,), (0,)))
    encoder.lacking = True
    assert_close(model(samples((0,), (0,)))[0], encoder.head.linear.bias)
    assert not neither.isnan().any()


def test_what_diverged_gives_no_answer():
    model, signal = classifier(), samples((1, 0), (1, 1))
    encoder = model.encoder
    x, there = encoder.forward_features(signal), encoder.there(signal)
    assert encoder.forward_head(x, there=there).isfinite().all()
    x[0, 3, 5] = math.nan
    assert encoder.forward_head(x, there=there).isnan().tolist() == [[True] * 3, [False] * 3]


def test_every_weight_of_a_classifier_learns():
    model = classifier(dropout=0.2).train()
    signal = samples((1, 0), (1, 1), fill=math.nan)
    noise = torch.rand(2, model.encoder.noise_size)
    grads = gradients(model, model(signal, noise=noise).sum())
    assert all(grad.isfinite().all() for grad in grads.values())


def saved(model, tmp_path):
    write_weights(tmp_path / "model.safetensors", model.state_dict(), model.recipe)
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("modality", ["a", "v"])
def test_one_modality_is_what_each_is_alone(tmp_path, modality):
    model, signal = shaken(cav(shared_depth=2)), samples()
    loaded = load_with_report(saved(model, tmp_path), modality=modality)
    side = signal.audio if modality == "a" else signal.video
    tokens = loaded.model.encoder.forward_features(side)
    assert_close(tokens, model.encoder.each(signal)[modality == "v"])
    left_out = loaded.report.left_out
    assert "encoder.fusion.blocks.0.attn.qkv.weight" not in left_out
    other = "video" if modality == "a" else "audio"
    assert {"decoder.embed.weight", f"encoder.{other}.norm.weight"} <= set(left_out)
    alone = cav(modality=modality)
    assert isinstance(alone, MaskedAutoencoder) and alone(side).loss.isfinite()


def test_one_modality_of_a_classifier(tmp_path):
    model = classifier()
    loaded = load_with_report(saved(model, tmp_path), modality="a")
    ours = loaded.model.encoder.blocks[-1].norm1.weight
    assert ours.equal(model.encoder.fusion.blocks[0].norm1.weight)


def test_official_files_come_and_go(tmp_path):
    model, signal = shaken(cav()), samples()
    written = export(model, tmp_path, None)
    state = torch.load(tmp_path / "model.pth")
    assert all(name.startswith("module.") for name in state)
    assert state["module.patch_embed_v.proj.weight"].shape == (48, 3, 8, 8)
    assert (state["module.blocks_a.0.norm1_v.weight"] == 1).all()
    kernel = model.encoder.audio.embed.weight
    assert state["module.patch_embed_a.proj.weight"].equal(kernel.transpose(2, 3))
    names = {"heads": 4, "decoder_heads": 2}
    back = load_with_report(tmp_path / "model.pth", **names)
    assert back.report.complete and back.name == "cav_mae_vit_base"
    assert back.config == model_config("cav_mae_vit_base", **{**TINY, **FRAME})
    theirs = back.model.state_dict()
    assert all(value.equal(theirs[name]) for name, value in model.state_dict().items())
    assert back.recipe["data"]["init_args"]["mean"] == [-5.081]
    assert written.compare(tmp_path) == 0
    assert_close(back.model.encoder(signal), model.encoder(signal))


def test_official_files_of_classifiers_come_and_go(tmp_path):
    model, signal = classifier(), samples()
    write_weights(tmp_path / "model.safetensors", model.state_dict(), model.recipe)
    export(model, tmp_path, "tuned.pth")
    back = load_with_report(tmp_path / "tuned.pth", heads=4)
    assert back.report.complete and back.model.answers.kind == "class"
    assert "norm_a.weight" in back.report.left_out
    assert_close(back.model(signal), model(signal))
    names = OFFICIAL.to_theirs(model.state_dict())
    assert names["mlp_head.0.weight"].equal(model.encoder.head.norm.weight)


def test_clips_of_several_frames_are_not_official(tmp_path):
    model = cav(video_size=(4, 32, 32), video_patch=(2, 8, 8))
    assert model(pair()).loss.isfinite()
    with pytest.raises(ValueError, match="clips have 4 frames, and official models look at 1"):
        export(model, tmp_path, None)


def test_it_starts_from_an_image_mae(tmp_path):
    sizes = {k: v for k, v in TINY.items() if not k.startswith(("audio", "video"))}
    images = create_model(
        "mae_vit_base_patch16", size=(32, 32), patch=(8, 8), **sizes | {"depth": 3}
    )
    donor, model = load_with_report(saved(shaken(images), tmp_path)), cav()
    notes = inherit(model, donor)
    assert not any("left out" in note and "class_token" not in note for note in notes)
    theirs, encoder = donor.model, model.encoder
    video = encoder.video.blocks[1].attn.qkv.weight
    assert video.equal(theirs.encoder.blocks[1].attn.qkv.weight)
    last = theirs.encoder.blocks[2]
    assert encoder.fusion.blocks[0].mlp.fc1.weight.equal(last.mlp.fc1.weight)
    assert encoder.fusion.norms[1][0][1].bias.equal(last.norm2.bias)
    kernel = theirs.encoder.embed.weight
    assert_close(encoder.audio.embed.weight[:, 0], kernel.sum(dim=1).transpose(1, 2))
    assert encoder.video.embed.weight[:, :, 0].equal(kernel)
    named = OFFICIAL.to_theirs(model.state_dict())
    assert named["decoder_pred_a.bias"].equal(theirs.decoder.head.bias[:64])
    assert named["decoder_pred_v.weight"].equal(theirs.decoder.head.weight)
    assert model(samples()).loss.isfinite()
    with pytest.raises(ValueError, match=r"depth and heads \(48, 4, 4\) would fit"):
        inherit(cav(depth=3), donor)
    other = cav()
    inherit(other, load_with_report(saved(model, tmp_path)))
    assert other.decoder.heads[0].bias.equal(model.decoder.heads[0].bias)


def test_it_does_not_start_from_others(tmp_path):
    sizes = {k: v for k, v in TINY.items() if not k.startswith(("audio", "video"))}
    sounds = create_model(
        "audiomae_vit_base_patch16", size=(64, 32), patch=(8, 8), **sizes | {"depth": 3}
    )
    mavil = create_model("mavil_vit_base", **{**TINY, **FRAME})
    for other, words in (
        (sounds, r"would fit, and the file holds audiomae_\w+ of \(48, 3, 4\) for sounds"),
        (cav(modality="a"), "cav_mae_vit_base of .* for sounds"),
        (cav(modality="v"), "cav_mae_vit_base of .* for clips"),
        (mavil, "meet in other ways in the mavil_vit_base of the file"),
        (cav(depth=3), r"are \(48, 3, 4\) in the file and \(48, 2, 4\)"),
    ):
        with pytest.raises(ValueError, match=words):
            inherit(cav(), load_with_report(saved(other, tmp_path)))


def test_another_size_keeps_marks(tmp_path):
    model = shaken(cav())
    path = saved(model, tmp_path)
    loaded = load_with_report(path, audio_size=(48, 32), video_size=(1, 40, 32))
    assert loaded.report.complete and len(loaded.report.resized) == 4
    for ours, theirs in zip(loaded.model.encoder.parts, model.encoder.parts, strict=True):
        assert ours.positions.mark.equal(theirs.positions.mark)
    assert loaded.model.encoder.grids == [(6, 4), (1, 5, 4)]


def test_the_recipe_holds_the_published_numbers():
    recipe = made("cav_mae_vit_base_audioset")
    assert recipe.model == MODELS["cav_mae_vit_base"]
    assert recipe.masker == PairMasker(RandomMasker(0.75), RandomMasker(0.75))
    train, data = recipe.train, recipe.data
    assert (train.epochs, train.batch_size, train.peak_lr) == (25, 256, 2e-4)
    assert (data.mean, data.std) == ([-5.081], [4.4849 / 2])
