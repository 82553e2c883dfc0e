"""Weights of Hiera come in and go out whole, under the names of others, never mistaken."""

import json

import hiera
import pytest
import timm
import torch
import torch.nn.functional as F
import transformers
from hiera.hiera_mae import MaskedAutoencoderHiera
from safetensors.torch import save_file
from torch.testing import assert_close

from maskedae import RandomMasker, create_model
from maskedae.answers import Answers
from maskedae.classifier import Classifier
from maskedae.cli import main
from maskedae.exporting.running import export
from maskedae.masking import take
from maskedae.models.layouts import hiera_names
from maskedae.weights import EncoderOnly, layouts, load_with_report

IMAGE, CLIP = "hiera_tiny_224", "hiera_base_16x224"
SIZES = {IMAGE: (64, 64), CLIP: (8, 64, 64)}
SMALL = {
    "width": 16,
    "heads": 2,
    "stages": (1, 2, 1, 1),
    "decoder_width": 16,
    "decoder_depth": 1,
    "decoder_heads": 2,
}
HEADS = {"heads": 2, "decoder_heads": 2}
ABC = Answers("class", ("class 0", "class 1", "class 2"))
KINDS = ["whole", "encoder", "classifier"]


def shaken(model):
    """The model with biases, too, that differ from zero."""
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model.eval()


def make(name=IMAGE, kind="whole", **overrides):
    model = create_model(name, **{**SMALL, "size": SIZES[name], **overrides})
    if kind == "encoder":
        model = EncoderOnly(model.encoder, "here")
    if kind == "classifier":
        model = Classifier(model.encoder, ABC)
    return shaken(model)


def result(model, x):
    """Logits where there are any, else predictions, else tokens."""
    if model.encoder.num_classes:
        return model(x)
    if isinstance(model, EncoderOnly):
        return model.encoder.forward_features(x)
    noise = torch.rand(len(x), model.noise_size, generator=torch.Generator().manual_seed(0))
    return model(x, noise=noise).prediction


def close(found, expected):
    assert_close(found, expected, rtol=1e-5, atol=1e-5)


# The official repository, as the package that it publishes.

PACKAGED = {"embed_dim": 16, "num_heads": 2, "stages": (1, 2, 1, 1)}
OF_CLIPS = {
    "q_stride": (1, 2, 2),
    "mask_unit_size": (1, 8, 8),
    "patch_kernel": (3, 7, 7),
    "patch_stride": (2, 4, 4),
    "patch_padding": (1, 3, 3),
    "sep_pos_embed": True,
}
DECODER = {"decoder_embed_dim": 16, "decoder_depth": 1, "decoder_num_heads": 2}


def packaged(name, kind, **more):
    """A model of the official package, and a file of it."""
    settings = {**PACKAGED, "input_size": SIZES[name], **(OF_CLIPS if name == CLIP else {}), **more}
    if kind == "whole":
        return shaken(MaskedAutoencoderHiera(**settings, **DECODER, q_pool=2))
    return shaken(hiera.Hiera(**settings, num_classes=3))


def written(path, model):
    torch.save({"model_state": model.state_dict(), "epoch": 1}, path)
    return path


@pytest.mark.parametrize("name", [IMAGE, CLIP])
def test_an_official_autoencoder_comes_in(tmp_path, name):
    theirs = packaged(name, "whole")
    loaded = load_with_report(written(tmp_path / "a.pth", theirs), **HEADS)
    assert loaded.report.complete and loaded.report.filled == 1 and not loaded.report.left_out
    assert loaded.report.layout == "official Hiera, encoder and decoder"
    assert (loaded.config.size, loaded.config.positions) == (SIZES[name], "published")
    assert loaded.config.stages == (1, 2, 1, 1) and loaded.config.multi_scale
    assert loaded.recipe["licence"] == "unknown"
    ours, x = loaded.model, torch.randn(2, 3, *SIZES[name])
    mask = ours.draw_mask(2)
    keep = torch.zeros(2, ours.noise_size, dtype=torch.bool).scatter(1, mask.visible, True)
    out = ours(x, mask)
    loss, predicted, _, _ = theirs(x, mask_ratio=0.6, mask=keep)
    assert_close(out.loss, loss, rtol=1e-5, atol=1e-6)
    order = ours.encoder.patches(mask).hidden.argsort(1)
    close(take(out.prediction, order).flatten(0, 1), predicted)


@pytest.mark.parametrize("name", [IMAGE, CLIP])
@torch.no_grad()
def test_an_official_classifier_comes_in(tmp_path, name):
    theirs = packaged(name, "classifier")
    loaded = load_with_report(written(tmp_path / "a.pth", theirs), heads=2)
    assert loaded.report.complete and loaded.report.filled == 1
    assert loaded.report.layout == "official Hiera, fine-tuned"
    assert loaded.model.answers.classes == ("class 0", "class 1", "class 2")
    x = torch.randn(2, 3, *SIZES[name])
    close(loaded.model(x).softmax(1), theirs(x))  # in evaluation, theirs are shares
    close(loaded.model(x), theirs.train()(x))


@torch.no_grad()
def test_what_official_files_do_not_tell_is_guessed_and_said(tmp_path):
    settings = {"embed_dim": 112, "stages": (1, 1, 1, 1), "num_heads": 2}
    theirs = packaged(CLIP, "whole", **settings)
    loaded = load_with_report(written(tmp_path / "mae_hiera_base_plus_16x224.pth", theirs))
    said = str(loaded.report)
    assert "heads=2 by width: weights do not tell" in said
    assert "decoder_heads=16, as in the repository, where the paper has 8" in said
    assert "normalize_target=True, as published" in said
    assert "stride=(2, 4, 4), as published: weights do not tell" in said
    assert "data=mean .45 and deviation .225" in said
    assert loaded.recipe["data"]["init_args"] == {"mean": [0.45], "std": [0.225]}
    assert loaded.recipe["licence"] == "cc-by-nc-4.0"
    image = load_with_report(written(tmp_path / "hiera_tiny_224.pth", packaged(IMAGE, "whole")))
    assert "stride" not in str(image.report) and "data=as for ImageNet" in str(image.report)
    assert image.recipe["licence"] == "cc-by-nc-4.0"


@torch.no_grad()
def test_folders_of_the_official_package(tmp_path):
    theirs = packaged(IMAGE, "classifier", input_size=(96, 64), patch_stride=(4, 2))
    theirs.save_pretrained(tmp_path)
    loaded = load_with_report(tmp_path)
    assert loaded.config.size == (96, 64) and loaded.config.stride == (4, 2)
    assert loaded.config.heads == 2 and list(loaded.report.notes) == [loaded.report.notes[-1]]
    x = torch.randn(2, 3, 96, 64)
    close(loaded.model(x).softmax(1), theirs(x))
    node = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**node, "head_mul": 1.0}))
    with pytest.raises(ValueError, match=r"head_mul of 1\.0; 2 alone fits"):
        load_with_report(tmp_path)


def of_classifier(folder, **overrides):
    """An encoder that pools as in the classifier that it was loaded from."""
    make(kind="classifier", **overrides).save_pretrained(folder)
    return load_with_report(folder, encoder_only=True).model


@pytest.mark.parametrize("positions", ["windowed", "published"])
@pytest.mark.parametrize("kind", [*KINDS, "tuned"])
@pytest.mark.parametrize("name", [IMAGE, CLIP])
@torch.no_grad()
def test_official_files_come_back(tmp_path, name, kind, positions):
    told = {"positions": positions, "size": (*SIZES[name][:-2], 64, 96)}
    tuned = kind == "tuned"
    model = (
        of_classifier(tmp_path / "run", name=name, **told) if tuned else make(name, kind, **told)
    )
    lines = []
    assert export(model, "official", tmp_path / "a.pth", say=lines.append) < 1e-5
    assert ("positions have become one table" in lines[-1]) == (positions == "windowed")
    heads = HEADS if kind == "whole" else {"heads": 2}
    back = load_with_report(tmp_path / "a.pth", **heads, size=told["size"])
    assert back.report.complete and type(back.model) is type(model) and not back.report.resized
    assert back.config.positions == "published" and back.config.size == told["size"]
    assert back.model.encoder.pools == model.encoder.pools == (2 if kind in KINDS[:2] else 3)
    x = torch.randn(2, 3, *told["size"])
    close(result(back.model, x), result(model, x))


@torch.no_grad()
def test_the_official_package_takes_what_goes_out(tmp_path):
    for name in (IMAGE, CLIP):
        model, x = make(name), torch.randn(2, 3, *SIZES[name])
        export(model, "official", tmp_path / "a.pth", overwrite=True)
        theirs = packaged(name, "whole")
        theirs.load_state_dict(torch.load(tmp_path / "a.pth")["model_state"])
        mask = model.draw_mask(2)
        keep = torch.zeros(2, model.noise_size, dtype=torch.bool).scatter(1, mask.visible, True)
        assert_close(model(x, mask).loss, theirs(x, mask=keep)[0], rtol=1e-5, atol=1e-6)


# timm.

TIMM = {"img_size": (64, 96), "embed_dim": 16, "num_heads": 2, "stages": (1, 2, 1, 1)}
WINDOWED = {"abs_win_pos_embed": True, "global_pos_size": (4, 6)}


def timms(folder, name="hiera_tiny_224", bare=False, **settings):
    """A model of timm, and a folder of it, or no more than its weights."""
    settings = {**TIMM, "num_classes": 3, **settings}
    model = shaken(timm.create_model(name, **settings))
    folder.mkdir(exist_ok=True)
    save_file(model.state_dict(), folder / "model.safetensors")
    if not bare:
        about = {"mean": [0.1] * 3, "std": [0.2] * 3, "crop_pct": 0.9, "license": "mit"}
        config = {"architecture": name, "model_args": settings, "pretrained_cfg": about}
        config["num_classes"] = settings["num_classes"]
        (folder / "config.json").write_text(json.dumps(config))
    return model


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("more", [{}, WINDOWED])
@torch.no_grad()
def test_a_timm_classifier_comes_in(tmp_path, more, bare):
    theirs = timms(tmp_path, bare=bare, **more)
    told = {"heads": 2, "size": (64, 96)} if bare else {}
    loaded = load_with_report(tmp_path, **told)
    assert loaded.report.complete and loaded.report.layout == "timm Hiera, fine-tuned"
    assert loaded.config.positions == ("windowed" if more else "published")
    assert loaded.config.size == (64, 96) and loaded.config.stages == (1, 2, 1, 1)
    if not bare:
        assert not loaded.report.notes and loaded.recipe["licence"] == "mit"
        data = {"mean": [0.1] * 3, "std": [0.2] * 3, "eval_crop": 0.9}
        assert loaded.recipe["data"]["init_args"] == data
    x = torch.randn(2, 3, 64, 96)
    close(loaded.model(x), theirs(x))


@pytest.mark.parametrize("pools", [2, 3])
@torch.no_grad()
def test_a_timm_encoder_comes_in(tmp_path, pools):
    theirs = timms(tmp_path, num_classes=0, q_pool=pools)
    loaded = load_with_report(tmp_path)
    assert isinstance(loaded.model, EncoderOnly) and loaded.report.complete
    assert loaded.report.left_out == ["head.norm.bias", "head.norm.weight"]
    assert loaded.report.layout == "timm Hiera, encoder"
    x, encoder = torch.randn(2, 3, 64, 96), loaded.model.encoder
    assert encoder.pools == pools
    found = encoder.forward_intermediates(x, intermediates_only=True)
    for ours, expected in zip(found, theirs.forward_intermediates(x)[1], strict=True):
        close(ours, expected)


@torch.no_grad()
def test_gradients_are_those_of_timm(tmp_path):
    with torch.enable_grad():
        theirs = timms(tmp_path, **WINDOWED)
        model, x = load_with_report(tmp_path).model, torch.randn(2, 3, 64, 96)
        for one in (model, theirs):
            F.cross_entropy(one(x), torch.tensor([0, 2])).backward()
    state = {name: tensor.grad for name, tensor in theirs.named_parameters()}
    expected, _ = hiera_names.TIMM.to_ours(state)
    for name, parameter in model.named_parameters():
        assert_close(parameter.grad, expected[name], rtol=1e-4, atol=1e-6, msg=name)


TIMMS_OTHERS = [
    ({"init_values": 0.1}, "LayerScale"),
    ({"use_expand_proj": False}, "no linear map where tokens widen"),
    ({"mask_unit_attn": (True, True, True, False)}, "other heads or windows of attention"),
    ({"head_mul": 1.0}, "other heads or windows of attention"),
    ({"q_pool": 2}, "pools 2 times"),
    ({"global_pool": "max"}, "then by max"),
    ({"mlp_ratio": 2.0}, "an MLP of 32 values"),
    ({"dim_mul": 3.0}, "twice as many"),
    ({**WINDOWED, "global_pos_size": (14, 14)}, r"images of \(224, 224\) alone would fit"),
]


@pytest.mark.parametrize(("more", "what"), TIMMS_OTHERS)
def test_what_timm_does_otherwise_is_named(tmp_path, more, what):
    timms(tmp_path, **more)
    with pytest.raises(ValueError, match=what):
        load_with_report(tmp_path)


@pytest.mark.parametrize("positions", ["windowed", "published"])
@pytest.mark.parametrize("kind", [*KINDS, "tuned"])
@torch.no_grad()
def test_timm_opens_what_goes_out(tmp_path, kind, positions):
    told, lines = {"positions": positions, "size": (64, 96), "channels": 2}, []
    model = of_classifier(tmp_path / "run", **told) if kind == "tuned" else make(kind=kind, **told)
    assert export(model, "timm", tmp_path / "out", say=lines.append) < 1e-5
    assert ("q_pool=3 pools as classifiers do" in lines[-1]) == (kind in KINDS[:2])
    x = torch.randn(2, 2, 64, 96)
    for line in lines[-1].splitlines()[1:]:
        other = eval(line, {"timm": timm}).eval()
        if kind == "classifier":
            close(other(x), model(x))
        else:
            tokens = F.layer_norm(other.forward_features(x), (128,), eps=1e-6)
            close(tokens.mean(1), model.encoder.forward_features(x).mean(1))
    back = load_with_report(tmp_path / "out")
    assert back.report.complete and back.config.positions == positions
    assert back.model.encoder.pools == model.encoder.pools
    if kind != "whole":
        close(result(back.model, x), result(model, x))


# transformers.

SMALLEST = {
    "embed_dim": 16,
    "image_size": [64, 64],
    "depths": [1, 2, 1, 1],
    "num_heads": [2, 4, 8, 16],
    "decoder_hidden_size": 16,
    "decoder_depth": 1,
    "decoder_num_heads": 2,
}


def transformed(folder, kind, **settings):
    """A model of transformers, and a folder of it."""
    pools = 2 if kind == "HieraForPreTraining" else 3
    config = transformers.HieraConfig(**{**SMALLEST, "num_query_pool": pools, **settings})
    model = shaken(getattr(transformers, kind)(config))
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("normalize", [False, True])
def test_transformers_autoencoder_comes_in(tmp_path, normalize):
    settings = {"normalize_pixel_loss": normalize, "mask_ratio": 0.5, "image_size": [64, 96]}
    theirs = transformed(tmp_path, "HieraForPreTraining", layer_norm_eps=1e-5, **settings)
    loaded = load_with_report(tmp_path)
    assert loaded.report.layout == "transformers Hiera, encoder and decoder"
    assert loaded.report.complete and loaded.report.filled == 1
    assert loaded.config.decoder_heads == 2 and loaded.config.norm_eps == 1e-5
    assert loaded.model.masker == RandomMasker(0.5) and loaded.config.size == (64, 96)
    model, x, noise = loaded.model, torch.randn(2, 3, 64, 96), torch.rand(2, 6)
    ours, expected = model(x, noise=noise), theirs(x, noise=noise)
    assert_close(ours.loss, expected.loss, rtol=1e-5, atol=1e-6)
    close(ours.prediction, take(expected.logits, model.encoder.patches(ours.mask).hidden))
    ours.loss.backward()
    expected.loss.backward()
    state = {name: tensor.grad for name, tensor in theirs.named_parameters()}
    gradients, _ = hiera_names.NAMED.to_ours(state)
    for name, parameter in model.named_parameters():
        assert_close(parameter.grad, gradients[name], rtol=1e-4, atol=1e-6, msg=name)


@torch.no_grad()
def test_transformers_classifier_comes_in(tmp_path):
    names = dict(enumerate(("cat", "dog", "owl")))
    theirs = transformed(tmp_path, "HieraForImageClassification", id2label=names)
    prepared = {"image_mean": [0.1] * 3, "image_std": [0.2] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(prepared))
    loaded = load_with_report(tmp_path)
    assert loaded.model.answers.classes == ("cat", "dog", "owl") and not loaded.report.notes
    data = {"mean": [0.1] * 3, "std": [0.2] * 3, "eval_crop": 1.0}
    assert loaded.recipe["data"]["init_args"] == data
    x = torch.randn(2, 3, 64, 64)
    close(loaded.model(x), theirs(x).logits)


@pytest.mark.parametrize("pools", [2, 3])
@pytest.mark.parametrize("kind", ["HieraModel", "HieraBackbone"])
@torch.no_grad()
def test_transformers_encoder_comes_in(tmp_path, kind, pools):
    theirs = transformed(tmp_path, kind, num_query_pool=pools)
    loaded = load_with_report(tmp_path)
    norm = "pooler.layernorm" if kind == "HieraModel" else "hidden_states_norms.stage4"
    assert sorted(loaded.report.left_out) == [f"{norm}.bias", f"{norm}.weight"]
    assert loaded.report.complete and loaded.model.encoder.pools == pools
    x = torch.randn(2, 3, 64, 64)
    found = loaded.model.encoder.forward_intermediates(x, intermediates_only=True)
    if kind == "HieraModel":
        maps = theirs(x, output_hidden_states=True).reshaped_hidden_states[1:]
        for ours, expected in zip(found, maps, strict=True):
            close(ours, expected.movedim(-1, 1))


OTHERS = [
    ("HieraModel", {"hidden_act": "relu"}, "hidden_act of relu; gelu alone fits"),
    ("HieraModel", {"num_heads": [2, 2, 2, 2]}, "num_heads of"),
    ("HieraModel", {"num_query_pool": 1}, "num_query_pool of 1; 2 alone fits"),
    ("HieraForPreTraining", {"num_query_pool": 3}, "num_query_pool of 3; 2 alone fits"),
    ("HieraForImageClassification", {"num_query_pool": 2}, "num_query_pool of 2; 3 alone fits"),
    ("HieraModel", {"masked_unit_attention": [True] * 4}, "masked_unit_attention of"),
    ("HieraModel", {"mlp_ratio": 2.0}, "an MLP of 32 values"),
]


@pytest.mark.parametrize(("kind", "settings", "what"), OTHERS)
def test_what_transformers_does_otherwise_is_named(tmp_path, kind, settings, what):
    transformed(tmp_path, kind, **settings)
    with pytest.raises(ValueError, match=what):
        load_with_report(tmp_path)


@pytest.mark.parametrize("positions", ["windowed", "published"])
@pytest.mark.parametrize("kind", [*KINDS, "tuned"])
@torch.no_grad()
def test_transformers_opens_what_goes_out(tmp_path, kind, positions):
    told, lines = {"positions": positions, "size": (64, 96)}, []
    model = of_classifier(tmp_path / "run", **told) if kind == "tuned" else make(kind=kind, **told)
    assert export(model, "transformers", tmp_path / "out", say=lines.append) < 1e-5
    assert ("positions have become one table" in lines[-1]) == (positions == "windowed")
    x = torch.randn(2, 3, 64, 96)
    back = load_with_report(tmp_path / "out")
    assert back.report.complete and back.config.size == (64, 96)
    assert back.model.encoder.pools == model.encoder.pools
    close(result(back.model, x), result(model, x))


# Everything else.


@torch.no_grad()
def test_positions_are_stretched_as_published(tmp_path):
    theirs = transformed(tmp_path, "HieraForImageClassification", image_size=[96, 96])
    loaded = load_with_report(tmp_path, size=(64, 128))
    how = "resized: encoder.positions from (24, 24) to (16, 32), bicubic"
    assert loaded.report.complete and how in str(loaded.report)
    x = torch.randn(2, 3, 64, 128)
    close(loaded.model(x), theirs(x, interpolate_pos_encoding=True).logits)
    with pytest.raises(
        ValueError, match=r"units of \(32, 32\) do not tile .* \(96, 96\) would fit"
    ):
        load_with_report(tmp_path, size=100)


@torch.no_grad()
def test_autoencoders_of_other_sizes_and_channels(tmp_path):
    path = written(tmp_path / "a.pth", packaged(CLIP, "whole"))
    loaded = load_with_report(path, size=(16, 96, 64), channels=1, encoder_only=True, **HEADS)
    assert "from (4, 16, 16) to (8, 24, 16), time 4 -> 8, linear; space" in str(loaded.report)
    assert loaded.model.encoder(torch.randn(1, 1, 16, 96, 64)).isfinite().all()
    loaded = load_with_report(path, size=(8, 96, 96), **HEADS)
    assert "decoder.positions from (4, 4, 4) to (4, 6, 6), bicubic" in str(loaded.report)
    assert loaded.model(torch.randn(1, 3, 8, 96, 96)).loss.isfinite()
    oblong = packaged(IMAGE, "whole", input_size=(64, 96))
    path = written(tmp_path / "b.pth", oblong)
    with pytest.raises(ValueError, match="are no square: say what size of images"):
        load_with_report(path, **HEADS)
    assert not load_with_report(path, size=(64, 96), **HEADS).report.resized


@pytest.mark.parametrize("name", [IMAGE, CLIP])
@torch.no_grad()
def test_encoders_of_classifiers_pool_as_they_did(tmp_path, name):
    tuned = make(name, "classifier")
    tuned.save_pretrained(tmp_path / "run")
    written(tmp_path / "a.pth", packaged(name, "classifier"))
    x = torch.randn(2, 3, *SIZES[name])
    maps = tuned.encoder.forward_intermediates(x, intermediates_only=True)
    loaded = load_with_report(tmp_path / "run", encoder_only=True)
    loaded.model.save_pretrained(tmp_path / "again")
    assert "encoder.head.norm.weight" in loaded.report.left_out
    for folder in ("run", "again"):
        encoder = load_with_report(tmp_path / folder, encoder_only=True).model.encoder
        found = encoder.forward_intermediates(x, intermediates_only=True)
        for ours, expected in zip(found, maps, strict=True):
            close(ours, expected)
    loaded = load_with_report(tmp_path / "a.pth", encoder_only=True, heads=2)
    assert loaded.report.complete and loaded.model.encoder.pools == 3
    assert load_with_report(tmp_path / "run").model.encoder.pools == 3
    assert create_model(name).encoder.pools == 2


@pytest.mark.parametrize("name", [IMAGE, CLIP])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_no_layout_takes_the_files_of_another(name, kind, channels):
    tried = 0
    for positions in ("published", "windowed"):
        state = make(name, kind, positions=positions, channels=channels).state_dict()
        for file, _, layout in layouts():
            if name not in file.MODELS:
                continue
            try:
                renamed = layout.to_theirs(state)
            except ValueError:  # layouts of encoders have no names for decoders
                continue
            found = next((f for f, _, other in layouts() if other.fits(renamed)), file)
            assert found is file
            tried += 1
    assert tried > 5


GRAPHS = [(IMAGE, "classifier", "onnx"), (IMAGE, "encoder", "torch")]
GRAPHS += [(CLIP, "encoder", "onnx"), (CLIP, "classifier", "torch")]


@pytest.mark.parametrize(("name", "kind", "target"), GRAPHS)
def test_graphs_agree(tmp_path, name, kind, target):
    size = {IMAGE: (16, 32), CLIP: (2, 16, 32)}[name]
    model = make(name, kind, size=size, stages=(1, 1, 1), width=8)
    apart = export(model, target, tmp_path / "out")
    assert apart < (1e-5 if target == "torch" else 1e-4)


def test_what_others_cannot_hold_is_refused(tmp_path):
    out = tmp_path / "out"
    probe = Classifier(make().encoder, ABC, batch_norm=True).eval()
    for target in ("timm", "transformers", "official"):
        with pytest.raises(ValueError, match="a linear probe has none; --encoder_only would fit"):
            export(probe, target, out)
    for target in ("timm", "transformers"):
        with pytest.raises(ValueError, match=f"nothing is written for {target}; .*official"):
            export(make(CLIP), target, out)
    with pytest.raises(ValueError, match="several stages, .*: --encoder_only"):
        export(make(multi_scale=False), "transformers", out)
    with pytest.raises(ValueError, match=r"predicts squares, not tokens every \(4, 2\)"):
        export(make(stride=(4, 2)), "transformers", out)
    with pytest.raises(ValueError, match="timm's Hiera adds 1e-06 to variances"):
        export(make(norm_eps=1e-5), "timm", out)
    export(make(multi_scale=False), "official", out)
    assert not load_with_report(out, **HEADS).config.multi_scale


def test_files_that_are_cut_are_refused(tmp_path):
    theirs = packaged(IMAGE, "whole")
    state = {
        name: tensor for name, tensor in theirs.state_dict().items() if "pos_embed" not in name
    }
    torch.save({"model_state": state}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match="other positions than one table: none"):
        load_with_report(tmp_path / "a.pth", **HEADS)
    whole = packaged(CLIP, "classifier", sep_pos_embed=False)
    with pytest.raises(
        ValueError, match="other positions than one of time and one of space: table"
    ):
        load_with_report(written(tmp_path / "b.pth", whole), heads=2)


def test_the_commands(tmp_path, capsys):
    path = written(tmp_path / "hiera_tiny_224.pth", packaged(IMAGE, "classifier"))
    given = ["import", str(path), "--out", str(tmp_path / "run"), "--heads=2", "--size=96,64"]
    assert main(given) == 0
    said = capsys.readouterr().out
    assert "official Hiera, fine-tuned" in said and "licence: cc-by-nc-4.0" in said
    assert "from (16, 16) to (24, 16), bicubic" in said
    given = ["export", str(tmp_path / "run"), "--to", "timm", "--out", str(tmp_path / "out")]
    assert main([*given, "--encoder_only"]) == 0
    assert "checked by timm" in capsys.readouterr().out
    back = load_with_report(tmp_path / "out")
    assert back.model.encoder.pools == 3 and back.recipe["licence"] == "cc-by-nc-4.0"
