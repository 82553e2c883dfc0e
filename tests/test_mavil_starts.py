"""Files of MAViL under other names come back whole, and it starts from models of other kinds."""

import sys
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from maskedae import create_model
from maskedae.answers import Answers
from maskedae.classifier import Classifier
from maskedae.fitting import Report
from maskedae.models.layouts.mavil import OFFICIAL
from maskedae.models.mavil import inherit
from maskedae.weights import Loaded, load_with_report
from maskedae.zoo import model_config

sys.path.append(str(Path(__file__).parent))
from pairing import TINY, mavil, pair  # noqa: E402

ANSWERS = Answers("classes", tuple(f"class {number}" for number in range(527)))


@pytest.mark.parametrize("kind", ["whole", "classifier", "features"])
@torch.no_grad()
def test_official_files_come_back(tmp_path, kind):
    model = mavil(predicts="features") if kind == "features" else mavil(fusion_depth=3)
    recipe, model = model.recipe, model.eval()
    if kind == "classifier":
        model = Classifier(model.encoder, ANSWERS).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    named = OFFICIAL.to_theirs(model.state_dict())
    torch.save({"model": named}, tmp_path / "model.pth")
    sizes = {name: TINY[name] for name in ("audio_size", "video_size", "heads", "decoder_heads")}
    back = load_with_report(tmp_path / "model.pth", **sizes)
    assert back.report.complete and back.report.filled == 1 and not back.report.resized
    assert back.report.layout.startswith("official MAViL") and back.name.startswith("mavil_")
    mine, theirs = model.state_dict(), back.model.state_dict()
    assert mine.keys() == theirs.keys() and all(mine[k].equal(theirs[k]) for k in mine)
    assert type(back.model) is type(model)
    for name in ("predicts", "fusion_depth", "audio_patch", "video_patch", "depth", "positions"):
        found, expected = getattr(back.config, name), recipe["model"][name]
        assert found == (tuple(expected) if isinstance(expected, list) else expected)
    if kind == "classifier":
        assert back.model.answers == ANSWERS
        with pytest.raises(ValueError, match="say what size they are for, video_size="):
            load_with_report(tmp_path / "model.pth", heads=4, audio_size=(64, 32))


def donor(name, **settings):
    model = create_model(name, **settings)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return Loaded(model, name, model_config(name, **settings), Report("here", "none"), {})


SAME = {name: TINY[name] for name in ("width", "depth", "heads", "decoder_depth")}
SAME |= {"decoder_width": 32, "decoder_heads": 2}


def test_it_starts_from_images():
    images = donor("mae_vit_base_patch16", **SAME, size=(32, 32), patch=(8, 8))
    model = mavil()
    notes = inherit(model, images)
    theirs, video, audio = images.model.encoder, model.encoder.video, model.encoder.audio
    for tap in range(2):  # repeated, not divided
        assert video.embed.weight[:, :, tap].equal(theirs.embed.weight)
    assert_close(audio.embed.weight, theirs.embed.weight.sum(dim=1, keepdim=True))
    rows = theirs.positions.table[0, 1:]
    assert video.positions.table[0, 1:].equal(rows.repeat(2, 1))
    assert (
        model.decoder["video"]
        .positions.table[0, 1:]
        .equal(images.model.decoder.positions.table[0, 1:].repeat(2, 1))
    )
    assert audio.positions.table.equal(mavil().encoder.audio.positions.table)
    last = theirs.blocks[-1].mlp.fc1.weight
    assert all(block.mlp.fc1.weight.equal(last) for block in model.encoder.fusion.blocks)
    for side in (audio, video):
        assert side.class_token.equal(theirs.class_token)
        assert side.blocks[0].attn.qkv.weight.equal(theirs.blocks[0].attn.qkv.weight)
    ours = model.decoder["video"].blocks[0].attn.qkv.weight
    assert ours.equal(images.model.decoder.blocks[0].attn.qkv.weight)
    assert any("decoder.video: fresh: head.bias, head.weight" in note for note in notes)


@pytest.mark.parametrize("kind", ["local", "global"])
def test_it_starts_from_sounds(kind):
    settings = {**SAME, "size": (64, 32), "patch": (8, 8), "decoder": kind}
    sounds, model = donor("audiomae_vit_base_patch16", **settings), mavil(fusion="bottleneck")
    before = model.encoder.video.embed.weight.clone()
    inherit(model, sounds)
    signal = pair()
    assert model.encoder.each(signal)[0].equal(sounds.model.encoder.forward_features(signal.audio))
    assert model.encoder.video.embed.weight.equal(before)
    ours, theirs = model.decoder["audio"], sounds.model.decoder
    assert ours.embed.weight.equal(theirs.embed.weight) == (kind == "global")
    last = sounds.model.encoder.blocks[-1].mlp.fc1.weight
    assert model.encoder.fusion.video[0].mlp.fc1.weight.equal(last)


@pytest.mark.parametrize("name", ["mae_st_vit_base_patch16", "videomae_vit_base_patch16"])
def test_it_starts_from_clips(name):
    settings = {**SAME, "size": (4, 32, 32), "patch": (2, 8, 8)}
    clips, model = donor(name, **settings), mavil()
    inherit(model, clips)
    theirs, video = clips.model.encoder, model.encoder.video
    assert video.embed.weight.equal(theirs.embed.weight)
    assert video.positions.table[0, 1:].equal(theirs.positions()[0])
    if theirs.prefix:
        signal = pair()
        tokens = model.encoder.each(signal)[1]
        assert_close(tokens, theirs.forward_features(signal.video), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["mavil_vit_base", "cav_mae_vit_base"])
@pytest.mark.parametrize("modality", ["a", "v"])
def test_it_starts_from_one_kind_alone(name, modality):
    blocks = 1 if name.startswith("cav") else 2  # and one that is shared
    alone, model = donor(name, **{**TINY, "depth": blocks}, modality=modality), mavil()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    inherit(model, alone)
    mine, other = ("audio", "video") if modality == "a" else ("video", "audio")
    theirs = alone.model.encoder.state_dict()
    for key, value in getattr(model.encoder, mine).state_dict().items():
        if not key.startswith(("class_token", "positions")):
            assert value.equal(theirs[key])
    for key, value in getattr(model.encoder, other).state_dict().items():
        assert value.equal(before[f"encoder.{other}.{key}"])
    signal = pair()
    if name == "mavil_vit_base":
        side = signal.audio if modality == "a" else signal.video
        tokens = alone.model.encoder.forward_features(side)
        assert model.encoder.each(signal)[modality == "v"].equal(tokens)


def test_where_both_meet_otherwise_is_refused():
    both = donor("cav_mae_vit_base", **TINY)
    for model in (mavil(), mavil(fusion="bottleneck")):
        with pytest.raises(ValueError, match="in other ways in the cav_mae_vit_base of the file"):
            inherit(model, both)
    with pytest.raises(ValueError, match="in other ways in the mavil_vit_base of the file"):
        inherit(mavil(fusion="bottleneck"), donor("mavil_vit_base", **TINY))


def test_it_starts_from_itself():
    first = donor("mavil_vit_base", **TINY)
    model = mavil(predicts="features")
    inherit(model, first)
    signal = pair()
    assert model.encoder(signal).equal(first.model.encoder(signal))
    assert model.decoder["video"].head.out_features == 48
    with pytest.raises(ValueError, match=r"are \(48, 2, 4\) in the file and \(48, 1, 4\)"):
        inherit(mavil(depth=1), first)
