"""Published folders come in whole, with settings, data and licence, and say what became of them."""

import json

import pytest
import torch
import transformers
from einops import rearrange
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

import maskedae
from maskedae.answers import Answers
from maskedae.classifier import Classifier
from maskedae.cli import main
from maskedae.digest import digest
from maskedae.finetuning.finetune import heritage
from maskedae.foreign import fetch
from maskedae.launching import Launch
from maskedae.masking import take
from maskedae.models.layouts.mae_official import OFFICIAL
from maskedae.runs import Run
from maskedae.weights import EncoderOnly, load_with_report

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 128,
    "image_size": 32,
    "patch_size": 8,
}
DECODER = {
    "decoder_hidden_size": 16,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 64,
}
CONFIGS = {
    "ViTMAE": transformers.ViTMAEConfig,
    "ViTModel": transformers.ViTConfig,
    "ViT": transformers.ViTConfig,
    "Beit": transformers.BeitConfig,
}
CARD = "---\nlicense: cc-by-nc-4.0\ntags: [x]\n---\n# A model\n"


def theirs(kind, **settings):
    """A model of transformers whose biases, too, differ from zero."""
    config = CONFIGS[kind.partition("For")[0]](**{**SMALL, **settings})
    model = getattr(transformers, kind)(config).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model


def in_modules(folder, model):
    """Name the weights of a folder as the modules of transformers 5 do, and keep the rest."""
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "model.safetensors")


@pytest.mark.parametrize("size", [32, 40])
@pytest.mark.parametrize("new_names", [False, True])
@torch.no_grad()
def test_vit_mae(tmp_path, size, new_names):
    other = theirs("ViTMAEForPreTraining", image_size=size, mask_ratio=0.5, **DECODER)
    other.save_pretrained(tmp_path)
    if new_names:
        in_modules(tmp_path, other)
    (tmp_path / "README.md").write_text(CARD)
    loaded = load_with_report(tmp_path)
    assert loaded.report.layout == "transformers ViTMAE, encoder and decoder"
    assert loaded.report.complete and loaded.report.filled == 1 and not loaded.report.notes
    assert (loaded.config.heads, loaded.config.decoder_heads) == (2, 2)
    assert loaded.config.norm_eps == 1e-12 and not loaded.config.normalize_target
    assert loaded.model.masker == maskedae.RandomMasker(0.5)
    assert loaded.recipe["licence"] == "cc-by-nc-4.0"
    x, patches = torch.randn(2, 3, *loaded.config.size), loaded.model.noise_size
    noise = torch.rand(2, patches)
    out, expected = loaded.model(x, noise=noise), other(x, noise=noise)
    assert_close(out.loss, expected.loss, rtol=1e-5, atol=1e-6)
    logits = take(expected.logits, out.mask.hidden)
    assert_close(out.prediction, logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("new_names", [False, True])
@torch.no_grad()
def test_vit(tmp_path, new_names):
    other = theirs("ViTModel", image_size=[24, 40], patch_size=[8, 4], num_channels=2)
    other.save_pretrained(tmp_path)
    if new_names:
        in_modules(tmp_path, other)
    loaded = load_with_report(tmp_path)
    assert isinstance(loaded.model, EncoderOnly)
    assert loaded.report.left_out == ["pooler.dense.bias", "pooler.dense.weight"]
    assert "left out: pooler.dense" in str(loaded.report)
    x = torch.randn(2, 2, 24, 40)
    found = loaded.model.encoder.forward_features(x)
    assert_close(found, other(x).last_hidden_state, rtol=1e-5, atol=1e-5)


BEIT = {
    "use_mean_pooling": True,
    "use_absolute_position_embeddings": True,
    "layer_scale_init_value": 0.0,
    "use_relative_position_bias": False,
}
CLASSIFIERS = [
    ("ViTForImageClassification", {}, "class"),
    ("BeitForImageClassification", BEIT, "mean"),
]


@pytest.mark.parametrize(("kind", "settings", "pool"), CLASSIFIERS)
@torch.no_grad()
def test_classifiers(tmp_path, kind, settings, pool):
    names = dict(enumerate("abcdefghijkl"))
    other = theirs(kind, id2label=names, problem_type="multi_label_classification", **settings)
    other.save_pretrained(tmp_path)
    preparing = {
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "size": {"shortest_edge": 40},
        "crop_size": {"height": 32, "width": 32},
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(preparing))
    loaded = load_with_report(tmp_path)
    assert isinstance(loaded.model, Classifier) and loaded.recipe["head"]["pool"] == pool
    assert "".join(loaded.model.answers.classes) == "abcdefghijkl"
    assert loaded.model.answers.kind == "classes"
    told = {"mean": [0.5] * 3, "std": [0.5] * 3, "eval_crop": 0.8}
    assert loaded.recipe["data"]["init_args"] == told
    x = torch.randn(2, 3, 32, 32)
    assert_close(loaded.model.eval()(x), other(x).logits, rtol=1e-5, atol=1e-5)


OTHERS = [
    ("ViTModel", {"hidden_act": "relu"}, "the activation: relu"),
    ("ViTModel", {"qkv_bias": False}, "the bias of queries, keys and values"),
    ("ViTModel", {"intermediate_size": 64}, "an MLP of 64 values"),
    ("BeitForImageClassification", {**BEIT, "layer_scale_init_value": 0.1}, "LayerScale"),
    ("BeitForImageClassification", {**BEIT, "use_relative_position_bias": True}, "relative pos"),
]


@pytest.mark.parametrize(("kind", "settings", "what"), OTHERS)
def test_what_cannot_be_represented_is_named(tmp_path, kind, settings, what):
    theirs(kind, **settings).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=what):
        load_with_report(tmp_path)


@pytest.fixture
def model(tiny):
    return maskedae.create_model("mae_vit_base_patch16", **tiny).eval()


def official(model, path, keep=lambda name: True):
    """A file as published, of the parts that are to be kept."""
    state = {k: v for k, v in model.state_dict().items() if keep(k)}
    torch.save({"model": OFFICIAL.to_theirs(state)}, path)
    return path


def is_encoder(name):
    return name.startswith("encoder.")


@torch.no_grad()
def test_the_command_writes_a_checkpoint(tmp_path, model, capsys):
    path = official(model, tmp_path / "mae_pretrain_vit_base_full.pth")
    out = tmp_path / "out"
    given = ["import", str(path), "--out", str(out), "--heads=4", "--decoder_heads=2"]
    assert main(given) == 0
    said = capsys.readouterr().out
    expected = digest(model.encoder)
    assert "cc-by-nc-4.0" in said and expected in said and "official MAE, encoder and" in said
    loaded = load_with_report(out)
    assert loaded.recipe["licence"] == "cc-by-nc-4.0" and loaded.recipe["digest"] == expected
    assert all(v.equal(model.state_dict()[k]) for k, v in loaded.model.state_dict().items())
    assert main(given) == 1 and "--overwrite" in capsys.readouterr().err
    assert main([*given, "--overwrite", f"--digest={expected}"]) == 0
    assert main([*given, "--overwrite", "--digest", "1 2 3 4 5"]) == 1
    assert "these are other weights" in capsys.readouterr().err


def test_the_licence_survives_a_fine_tuning(tmp_path, model):
    path = official(model, tmp_path / "mae_pretrain_vit_base.pth", is_encoder)
    encoder = maskedae.load(path, heads=4).encoder
    tuned = Classifier(encoder, Answers("class", ("a", "b")))
    tuned.save_pretrained(tmp_path / "c")
    assert load_with_report(tmp_path / "c").recipe["licence"] == "cc-by-nc-4.0"
    run = Launch(tmp_path / "run", {"model": encoder.recipe["model"]})
    assert heritage(tuned, run)["licence"] == "cc-by-nc-4.0"
    config = {**run.config, "head": tuned.description, **heritage(tuned, run)}
    state = {"step": 1, "keep": []}
    Run(run.out).checkpoints.save(tuned.state_dict(), {}, state, config)
    encoder.recipe = None
    assert heritage(tuned, run._replace(resume=True))["licence"] == "cc-by-nc-4.0"


def test_unknown_weights_have_an_unknown_licence(tmp_path, model):
    path = official(model, tmp_path / "x.pth", is_encoder)
    assert load_with_report(path, heads=4).recipe["licence"] == "unknown"


@torch.no_grad()
def test_sizes_patches_and_channels_on_request(tmp_path, model, capsys):
    path = official(model, tmp_path / "x.pth")
    given = ["import", str(path), "--heads=4", "--decoder_heads=2", "--channels=1"]
    given += ["--size", "48,64", "--patch=16", "--out", str(tmp_path / "out")]
    assert main(given) == 1
    assert "the encoder only would fit" in capsys.readouterr().err
    assert main([*given, "--encoder_only"]) == 0
    said = capsys.readouterr().out
    assert "from 3 to 1 channels, summed" in said and "from patches of (8, 8) to (16, 16)" in said
    assert "encoder.positions from (4, 4) to (3, 4)" in said and "100.0%" in said
    encoder = load_with_report(tmp_path / "out").model.encoder
    assert encoder.embed.weight.shape == (32, 1, 16, 16) and encoder.grid == (3, 4)


@torch.no_grad()
def test_adapted_kernels_see_what_the_old_ones_saw(tmp_path, model):
    path = official(model, tmp_path / "x.pth", is_encoder)
    x = torch.nn.functional.interpolate(torch.randn(1, 3, 8, 8), 32, mode="bicubic")
    old = model.encoder.embed(x)
    gray = load_with_report(path, channels=1, heads=4).model.encoder
    same = x[:, :1].expand(-1, 3, -1, -1)
    assert_close(gray.embed(x[:, :1]), model.encoder.embed(same), rtol=1e-4, atol=1e-4)
    more = load_with_report(path, channels=6, heads=4).model.encoder
    assert_close(more.embed(torch.cat([x, x], dim=1)), old, rtol=1e-4, atol=1e-4)
    finer = load_with_report(path, patch=(16, 16), size=(64, 64), heads=4).model.encoder
    pieces = rearrange(x, "b c (h p) (w q) -> (b h w) c p q", p=8, q=8)
    pieces = torch.nn.functional.interpolate(pieces, 16, mode="bicubic", antialias=True)
    large = rearrange(pieces, "(h w) c p q -> 1 c (h p) (w q)", h=4)
    assert finer.grid == (4, 4)
    assert_close(finer.embed(large), old, rtol=1e-3, atol=1e-3)


def test_strict_is_the_default_of_the_command(tmp_path, model, capsys):
    path = official(
        model, tmp_path / "x.pth", lambda name: is_encoder(name) and "blocks.1" not in name
    )
    torch.save(
        {"model": {**torch.load(path)["model"], "blocks.1.attn.qkv.bias": torch.zeros(96)}}, path
    )
    given = ["import", str(path), "--out", str(tmp_path / "out"), "--heads=4"]
    assert main(given) == 1 and "missing: encoder.blocks.1" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*given, "--strict=false"]) == 0
    assert "% of the encoder's parameters filled" in capsys.readouterr().out


def test_offline_it_says_what_to_do(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(OSError, match="nobody/nothing is neither a file here nor downloaded"):
        fetch("hf-hub:nobody/nothing")


def test_a_name_of_the_hub_is_downloaded(tmp_path, monkeypatch, model):
    official(model, tmp_path / "weights.pth", is_encoder)
    asked = []

    def snapshot(name, revision, allow_patterns):
        asked.append((name, revision))
        return str(tmp_path)

    monkeypatch.setattr("maskedae.foreign.snapshot_download", snapshot)
    given = ["--out", str(tmp_path / "out"), "--heads=4"]
    assert main(["import", "someone/weights@v2", *given]) == 0
    assert asked[0] == ("someone/weights", "v2")
    assert load_with_report(tmp_path / "out").recipe["source"] == "hf-hub:someone/weights@v2"
    assert load_file(tmp_path / "out" / "model.safetensors")
