"""Models go to folders and to the hub, come back the same, and say where they come from."""

import copy
import json
import pickle

import pytest
import torch
import yaml
from huggingface_hub import HfApi, ModelCard
from torch.testing import assert_close

import maskedae
from maskedae.answers import Answers
from maskedae.autoencoder import MaskedAutoencoder
from maskedae.checkpoints import write_weights
from maskedae.classifier import Classifier
from maskedae.weights import EncoderOnly, load_with_report

KINDS = [MaskedAutoencoder, EncoderOnly, Classifier]


@pytest.fixture
def make(tiny):
    """A model of each class."""

    def build(kind):
        masker = maskedae.RandomMasker(0.5)
        model = maskedae.create_model("mae_vit_tiny_patch16", masker, **tiny).eval()
        if kind is EncoderOnly:
            return EncoderOnly(model.encoder, "here")
        answers = Answers("class", ("ant", "bee", "cat"))
        return Classifier(model.encoder, answers, "class") if kind is Classifier else model

    return build


def result(model, x):
    """What a model makes of images, without chance."""
    if isinstance(model, MaskedAutoencoder):
        return model(x, noise=torch.linspace(0, 1, 16).expand(len(x), -1)).prediction
    return model(x) if isinstance(model, Classifier) else model.encoder(x)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_folder_and_back(tmp_path, make, kind):
    model, x = make(kind), torch.randn(2, 3, 32, 32)
    model.save_pretrained(tmp_path)
    names = {"config.json", "model.safetensors", "preprocessor_config.json", "README.md"}
    assert {path.name for path in tmp_path.iterdir()} == names
    back = kind.from_pretrained(tmp_path).eval()
    assert type(back) is kind and back.recipe == json.loads(json.dumps(model.recipe))
    assert_close(result(back, x), result(model, x), rtol=0, atol=0)
    assert_close(result(maskedae.load(tmp_path).eval(), x), result(model, x), rtol=0, atol=0)
    back.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again/config.json").read_text() == (tmp_path / "config.json").read_text()


def test_another_class_is_named(tmp_path, make):
    make(Classifier).save_pretrained(tmp_path)
    with pytest.raises(
        ValueError, match=r"a Classifier, not a MaskedAutoencoder: Classifier\.from"
    ):
        MaskedAutoencoder.from_pretrained(tmp_path)


def test_the_hub(tmp_path, make, monkeypatch):
    folder, calls = tmp_path / "repo", {}

    class Repo:
        repo_id = "me/model"

    def upload(self, folder_path, **options):
        calls.update(options)
        for path in folder_path.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())

    folder.mkdir()
    monkeypatch.setattr(HfApi, "create_repo", lambda *_, **__: Repo())
    monkeypatch.setattr(HfApi, "upload_folder", upload)
    monkeypatch.setattr("maskedae.hub.snapshot_download", lambda *_, **__: str(folder))
    monkeypatch.setattr(
        "huggingface_hub.hub_mixin.hf_hub_download", lambda **_: str(folder / "config.json")
    )
    model = make(Classifier)
    model.push_to_hub("me/model")
    assert calls["repo_id"] == "me/model"
    back = Classifier.from_pretrained("me/model")
    assert back.answers == model.answers


def run(folder, model, **recipe):
    """A checkpoint as a training leaves it."""
    data = {"class_path": "maskedae.datasets.images.Images", "init_args": {"root": "/my/home"}}
    train = {"epochs": 3, "betas": [0.9, 0.95]}
    whole = {**model.recipe, "data": data, "train": train, **recipe}
    write_weights(folder / "model.safetensors", model.state_dict(), whole)
    state = {"step": 7, "data": "0123abcd", "scores": {"knn": 0.875}, "keep": []}
    (folder / "state.json").write_text(json.dumps(state))
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_the_card(tmp_path, make, kind):
    model = maskedae.load(run(tmp_path, make(kind), licence="cc-by-nc-4.0"))
    model.save_pretrained(tmp_path / "out")
    card = ModelCard.load(tmp_path / "out" / "README.md")
    assert card.data.license == "cc-by-nc-4.0" and card.data.library_name == "maskedae"
    assert card.data.metrics == ["knn"] and "mae_vit_tiny_patch16" in card.data.tags
    for said in ("knn: 0.875", "0123abcd", "steps: 7", "cc-by-nc-4.0", "maskedae.load("):
        assert said in card.text
    assert "/my/home" not in card.text
    recipe = yaml.safe_load(card.text.split("```yaml\n")[1].split("```")[0])
    assert recipe["train"]["epochs"] == 3 and recipe["model"]["width"] == 32
    assert ("ant, bee, cat" in card.text) == (kind is Classifier)
    again = load_with_report(tmp_path / "out").model
    assert again.recipe["results"]["scores"] == {"knn": 0.875}


def test_scores_of_a_pre_training_are_not_those_of_a_new_head(tmp_path, make):
    encoder = maskedae.load(run(tmp_path, make(MaskedAutoencoder))).encoder
    assert "results" in EncoderOnly(encoder, "here").recipe
    assert "results" not in Classifier(encoder, Answers("class", ("a", "b"))).recipe


def test_a_card_that_someone_wrote_stays(tmp_path, make):
    (tmp_path / "README.md").write_text("mine")
    make(EncoderOnly).save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_model_made_by_hand_says_that_nobody_knows_how(tmp_path, make):
    model = make(MaskedAutoencoder)
    model.encoder.recipe = None
    with pytest.raises(ValueError, match="does not know how it was built"):
        model.save_pretrained(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_copies_pickles_and_compiled_models_work(make, kind):
    model, x = make(kind), torch.randn(2, 3, 32, 32)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.recipe == model.recipe
        assert_close(result(other, x), result(model, x))
    if kind is not EncoderOnly:
        compiled = torch.compile(model, backend="eager", fullgraph=kind is Classifier)
        assert_close(result(compiled._orig_mod, x), result(model, x))
        assert compiled(x) is not None
