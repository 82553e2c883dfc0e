"""Weights of clip models come in and go out whole, under the names of others, never mistaken."""

import json
from contextlib import suppress
from dataclasses import replace

import pytest
import torch
import transformers
from safetensors.torch import save_file
from torch.testing import assert_close

import maskedae
from maskedae import create_model
from maskedae.answers import Answers
from maskedae.classifier import Classifier
from maskedae.exporting.running import export
from maskedae.models.layouts import mae_st, videomae_names
from maskedae.models.layouts.clips import without_keys
from maskedae.models.layouts.videomae_transformers import booleans, in_order
from maskedae.tubes import TubeMasker
from maskedae.weights import EncoderOnly, layouts, load_with_report

ST, VIDEO = "mae_st_vit_base_patch16", "videomae_vit_base_patch16"
HEADS = {"heads": 4, "decoder_heads": 2}
ABC = Answers("class", ("class 0", "class 1", "class 2"))


@pytest.fixture
def make(tiny_clips):
    """Models of every kind, by name and kind, whose biases, too, differ from zero."""

    def build(name, kind="whole", **overrides):
        model = create_model(name, **{**tiny_clips, **overrides})
        if kind == "encoder":
            model = EncoderOnly(model.encoder, "here")
        if kind == "classifier":
            model = Classifier(model.encoder, ABC)
        for key, parameter in model.named_parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
            if key.endswith("qkv.bias"):
                parameter.data[32 if len(parameter) == 96 else 16 :].chunk(2)[0].zero_()
        return model.eval()

    return build


def result(model, x):
    """Logits where there are any, else tokens."""
    return model(x) if model.encoder.num_classes else model.encoder.forward_features(x)


def written(path, state, container="model"):
    torch.save({container: without_keys(state)}, path)
    return path


KINDS = ["whole", "encoder", "classifier"]


@pytest.mark.parametrize("size", [(16, 32, 32), (4, 24, 40)])
@pytest.mark.parametrize("name", [ST, VIDEO])
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_official_files_come_back(tmp_path, make, name, kind, size):
    model = make(name, kind, size=size)
    assert export(model, "official", tmp_path / "model.pth") < 1e-5
    told = {"size": size} if size != (16, 32, 32) or name == VIDEO else {}
    heads = HEADS if kind == "whole" else {"heads": 4}
    back = load_with_report(tmp_path / "model.pth", **told, **heads)
    assert back.report.complete and back.report.filled == 1 and not back.report.resized
    mine, theirs = model.state_dict(), back.model.state_dict()
    assert type(back.model) is type(model) and back.config.shape == (3, *size)
    assert theirs.keys() == mine.keys() and all(theirs[k].equal(mine[k]) for k in mine)
    assert back.name.startswith(name.split("_vit")[0]) and "official" in back.report.layout


@torch.no_grad()
def test_files_of_spatiotemporal_mae(tmp_path, make):
    model = make(ST)
    path = written(tmp_path / "a.pth", mae_st.OFFICIAL.to_theirs(model.state_dict()), "model_state")
    loaded = load_with_report(path, **HEADS)
    x, noise = torch.randn(2, 3, 16, 32, 32), torch.rand(2, 128)
    assert_close(loaded.model(x, noise=noise), model(x, noise=noise))
    assert loaded.config.size == (16, 32, 32) and loaded.config.predicted_frames == "every_second"
    assert "predicted_frames=every_second, as in the training" in str(loaded.report)
    assert loaded.recipe["data"]["init_args"] == {"mean": [0.45], "std": [0.225]}
    tuned = make(ST, "classifier")
    state = mae_st.FINE_TUNED.to_theirs(tuned.state_dict())
    state = {k.replace("head.", "head.projection."): v for k, v in state.items()}
    loaded = load_with_report(written(tmp_path / "b.pth", state), heads=4)
    assert_close(loaded.model.eval()(x), tuned(x))
    whole = make(ST, predicted_frames="all")
    written(tmp_path / "c.pth", mae_st.OFFICIAL.to_theirs(whole.state_dict()))
    assert load_with_report(tmp_path / "c.pth", **HEADS).config.predicted_frames == "all"


def of_pyslowfast(model):
    """Weights under the names of PySlowFast: fused queries, a norm behind the decoder's blocks."""
    layout, depth = mae_st.PYSLOWFAST, len(model.decoder.blocks)
    pairs = tuple(pair for pair in layout.names if pair[1] != mae_st.QKV)
    state = replace(layout, names=pairs).to_theirs(model.state_dict())
    return {name.replace(".*", f".{depth}"): tensor for name, tensor in state.items()}


@pytest.mark.parametrize("separable", [False, True])
@torch.no_grad()
def test_files_of_pyslowfast(tmp_path, make, separable):
    settings = {"decoder_width": 128, "decoder_depth": 3, "own_class_token": False}
    model = make(ST, **settings, separable_decoder=separable)
    state = of_pyslowfast(model)
    names = {"blocks.0.attn.qkv.weight", "pred_head.transforms.0.2.attn.qkv.bias"}
    names |= {"pred_head.transforms.0.3.weight", "pred_head.projections.0.bias"}
    names |= {"dec_pos_embed_temporal" if separable else "decoder_pos_embed"}
    assert names <= state.keys() and "decoder_cls_token" not in state
    path = written(tmp_path / "a.pyth", state, "model_state")
    loaded = load_with_report(path, heads=4)
    assert loaded.report.complete and loaded.report.layout.startswith("PySlowFast")
    assert loaded.config.decoder_heads == 2 and not loaded.config.own_class_token
    x, noise = torch.randn(2, 3, 16, 32, 32), torch.rand(2, 128)
    assert_close(loaded.model(x, noise=noise), model(x, noise=noise))
    larger = load_with_report(path, heads=4, size=(32, 48, 32))
    assert larger.model(torch.randn(1, 3, 32, 48, 32)).loss.isfinite()
    loaded.model.save_pretrained(tmp_path / "own")
    again = load_with_report(tmp_path / "own").model
    assert_close(again(x, noise=noise).loss, model(x, noise=noise).loss)


@torch.no_grad()
def test_the_decoder_of_pyslowfast_sees_the_encoder_s_class_token(make):
    model = make(ST, own_class_token=False)
    mask = model.draw_mask(1)
    latent = model.encoder.forward_features(torch.randn(1, 3, 16, 32, 32), mask.visible)
    before = model.decoder(latent, mask)
    latent[:, 0] += 1
    assert not model.decoder(latent, mask).allclose(before)


@torch.no_grad()
def test_classifiers_of_pyslowfast(tmp_path, make):
    tuned = make(ST, "classifier")
    pairs = tuple(pair for pair in mae_st.PROJECTED.names if pair[1] != mae_st.QKV)
    state = replace(mae_st.PROJECTED, names=pairs).to_theirs(tuned.state_dict())
    assert {"blocks.1.attn.qkv.bias", "head.projection.weight", "norm.bias"} <= state.keys()
    loaded = load_with_report(written(tmp_path / "a.pyth", state, "model_state"), heads=4)
    x = torch.randn(2, 3, 16, 32, 32)
    assert_close(loaded.model(x), tuned(x))


def test_positions_are_stretched_in_space_and_time(tmp_path, make):
    written(tmp_path / "a.pth", mae_st.OFFICIAL.to_theirs(make(ST).state_dict()))
    loaded = load_with_report(tmp_path / "a.pth", size=(32, 48, 64), **HEADS)
    assert loaded.model.encoder.grid == (16, 6, 8) and loaded.report.complete
    assert "resized: encoder.positions from (8, 4, 4) to (16, 6, 8)" in str(loaded.report)
    assert loaded.model(torch.randn(1, 3, 32, 48, 64)).loss.isfinite()
    before, after = make(ST).encoder.positions, loaded.model.encoder.positions
    assert after.along.shape == (1, 16, 32) and after.across.shape == (1, 48, 32)
    assert before.prefix_table.shape == after.prefix_table.shape
    written(tmp_path / "v.pth", videomae_names.PRETRAINED.to_theirs(make(VIDEO).state_dict()))
    loaded = load_with_report(tmp_path / "v.pth", size=(8, 48, 64), **HEADS)
    assert "computed anew: encoder.positions for (4, 6, 8)" in str(loaded.report)
    assert loaded.model(torch.randn(1, 3, 8, 48, 64)).loss.isfinite()


@pytest.mark.parametrize("name", [ST, VIDEO, "mae_vit_base_patch16"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_layout_takes_the_files_of_another(make, tiny, name, kind):
    state = make(name, kind, **(tiny if name.startswith("mae_vit") else {})).state_dict()
    tried = 0
    for file, _, layout in layouts():
        if name not in file.MODELS:
            continue
        with suppress(ValueError):  # layouts of encoders have no names for decoders
            renamed = without_keys(layout.to_theirs(state))
            assert next(f for f, _, other in layouts() if other.fits(renamed)) is file
            tried += 1
    assert tried


SMALL = {
    "image_size": 32,
    "patch_size": 8,
    "num_frames": 8,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 128,
    "decoder_hidden_size": 16,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 4,
    "decoder_intermediate_size": 64,
}


def theirs(kind, **settings):
    config = transformers.VideoMAEConfig(**{**SMALL, **settings})
    model = getattr(transformers, kind)(config).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model


@pytest.mark.parametrize("new_names", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
@torch.no_grad()
def test_transformers_autoencoder_comes_in(tmp_path, new_names, normalize):
    other = theirs("VideoMAEForPreTraining", use_mean_pooling=False, norm_pix_loss=normalize)
    other.save_pretrained(tmp_path)
    if new_names:  # of modules, not of files
        state = {name: value.contiguous() for name, value in other.state_dict().items()}
        save_file(state, tmp_path / "model.safetensors")
    loaded = load_with_report(tmp_path)
    assert loaded.report.layout == "transformers VideoMAE, encoder and decoder"
    assert loaded.report.complete and loaded.report.filled == 1 and not loaded.report.notes
    assert (loaded.config.heads, loaded.config.decoder_heads) == (2, 4)
    assert (loaded.config.norm_eps, loaded.config.last_norm_eps) == (1e-12, 1e-5)
    x = torch.randn(2, 3, 8, 32, 32)
    mask = in_order(TubeMasker(0.8)(2, (4, 4, 4)))
    out = loaded.model(x, mask=mask)
    expected = other(x.transpose(1, 2), bool_masked_pos=booleans(mask))
    assert_close(out.loss, expected.loss, rtol=1e-5, atol=1e-6)
    assert_close(out.prediction, expected.logits, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_transformers_encoders_and_classifiers_come_in(tmp_path):
    x = torch.randn(2, 3, 8, 32, 32)
    bare = theirs("VideoMAEModel", use_mean_pooling=False, image_size=[32, 40])
    bare.save_pretrained(tmp_path / "bare")
    loaded = load_with_report(tmp_path / "bare")
    assert isinstance(loaded.model, EncoderOnly) and loaded.config.size == (8, 32, 40)
    wide = torch.randn(2, 3, 8, 32, 40)
    expected = bare(wide.transpose(1, 2)).last_hidden_state
    assert_close(loaded.model.encoder.forward_features(wide), expected, rtol=1e-5, atol=1e-5)
    names = dict(enumerate(("run", "jump", "sit")))
    other = theirs("VideoMAEForVideoClassification", id2label=names)
    other.save_pretrained(tmp_path / "tuned")
    prepared = {"image_mean": [0.1] * 3, "image_std": [0.2] * 3}
    (tmp_path / "tuned" / "preprocessor_config.json").write_text(json.dumps(prepared))
    loaded = load_with_report(tmp_path / "tuned")
    assert loaded.model.answers.classes == ("run", "jump", "sit")
    assert loaded.recipe["data"]["init_args"] == {"mean": [0.1] * 3, "std": [0.2] * 3}
    logits = other(x.transpose(1, 2)).logits
    assert_close(loaded.model.eval()(x), logits, rtol=1e-5, atol=1e-5)


OTHERS = [
    ("VideoMAEModel", {"qv_bias": False}, "no biases"),
    ("VideoMAEModel", {"hidden_act": "relu"}, "the activation: relu"),
    ("VideoMAEModel", {"intermediate_size": 64}, "an MLP of 64 values"),
    ("VideoMAEForPreTraining", {"use_mean_pooling": True}, "missing: encoder.norm"),
]


@pytest.mark.parametrize(("kind", "settings", "what"), OTHERS)
def test_what_cannot_be_represented_is_named(tmp_path, kind, settings, what):
    theirs(kind, **settings).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=what):
        load_with_report(tmp_path)


@pytest.mark.parametrize("eps", [1e-5, 1e-6])
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_transformers_opens_what_goes_out(tmp_path, make, kind, eps):
    model = make(VIDEO, kind, size=(8, 24, 40), last_norm_eps=eps)
    lines = []
    apart = export(model, "transformers", tmp_path / "out", say=lines.append)
    assert apart < (1e-5 if eps == 1e-5 else 1e-3)
    assert ("its last norm adds 1e-05" in lines[-1]) == (eps != 1e-5)
    back = load_with_report(tmp_path / "out")
    x = torch.randn(2, 3, 8, 24, 40)
    assert_close(result(back.model.eval(), x), result(model, x), rtol=1e-3, atol=1e-3)
    assert back.report.complete and back.config.size == (8, 24, 40)


def test_what_transformers_cannot_hold_is_refused(tmp_path, make):
    with pytest.raises(ValueError, match="square patches, not 8 x 4"):
        export(make(VIDEO, patch=(2, 8, 4)), "transformers", tmp_path / "out")
    bare = make(VIDEO, channels=1, normalize_target=False)
    with pytest.raises(ValueError, match="three channels only"):
        export(bare, "transformers", tmp_path / "out")
    probe = Classifier(make(VIDEO).encoder, ABC, batch_norm=True).eval()
    with pytest.raises(ValueError, match="a linear probe has none"):
        export(probe, "transformers", tmp_path / "out")
    with pytest.raises(ValueError, match="nothing is written for transformers"):
        export(make(ST), "transformers", tmp_path / "out")


@pytest.mark.parametrize("name", [ST, VIDEO])
def test_our_own_folders_come_back(tmp_path, make, name):
    model = make(name)
    model.save_pretrained(tmp_path)
    back = maskedae.load(tmp_path)
    mine, theirs = model.state_dict(), back.state_dict()
    assert theirs.keys() == mine.keys() and all(theirs[k].equal(mine[k]) for k in mine)
    assert back.masker == model.masker and back.target == model.target
    node = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert node["size"] == {"shortest_edge": 32}
