"""What fine-tuning of clips starts from: image models, and clips of other sizes and patches."""

import pytest
import torch
from torch.testing import assert_close

from maskedae import create_model
from maskedae.answers import Answers
from maskedae.classifier import Classifier
from maskedae.commands.starting import starting_point
from maskedae.finetuning.finetune import make_classifier
from maskedae.fitting import adapt_patch
from maskedae.launching import Launch
from maskedae.recipe import Recipe
from maskedae.settings import Finetune, Train
from maskedae.weights import load_with_report
from maskedae.zoo import model_config

IMAGE, ST, VIDEO = "mae_vit_base_patch16", "mae_st_vit_base_patch16", "videomae_vit_base_patch16"
AB = Answers("class", ("a", "b"))


@pytest.fixture
def image(tmp_path, tiny):
    """The checkpoint of an image MAE."""
    return saved(create_model(IMAGE, **tiny), tmp_path / "image")


@pytest.fixture
def recipe(tmp_path):
    """Writes a recipe for a model."""

    def write(name, more=""):
        path = tmp_path / "recipe.yaml"
        section = f"model:\n  name: {name}\n{more}" if name else ""
        path.write_text(f"{section}finetune: {{}}\ndata: {{class_path: some.Clips}}\n")
        return path

    return write


def saved(model, path):
    model.save_pretrained(path)
    return path


def started(init, name, tmp_path, **settings):
    """The classifier that fine-tuning starts from, and what was said."""
    said = []
    config = model_config(name, **settings)
    made = Recipe(name, config, None, Train(), None, Finetune(keep_norm=True), str(init))
    launch = Launch(tmp_path / "run", {}, False, False)._replace(say=said.append)
    return make_classifier(made, AB, launch), "\n".join(said)


@pytest.mark.parametrize("name", [ST, VIDEO])
@torch.no_grad()
def test_clips_start_from_an_image_model(image, recipe, tmp_path, name):
    path = recipe(name, "  size: [8, 48, 64]\n")
    found, values, seen = starting_point(path, ["--init", str(image)], "finetune")
    assert found == name and values["width"] == 32 and values["depth"] == 2
    assert values["patch"] == (2, 8, 8) and values["size"] == (16, 32, 32)
    assert seen["class_path"].endswith("Images")
    model, said = started(image, name, tmp_path, **{**values, "size": (8, 48, 64)})
    assert "spread: embed from patches of (8, 8) to (2, 8, 8), evenly" in said
    words = {ST: "separated: positions of (4, 4) for (4, 6, 8), bicubic", VIDEO: "computed anew"}
    assert words[name] in said and f"{IMAGE} for {name}" in said
    still = load_with_report(image).model.encoder
    kernel = model.encoder.embed.weight
    assert_close(kernel.sum(2), still.embed.weight)
    assert_close(model.encoder.head.norm.weight, still.norm.weight)
    assert model(torch.randn(2, 3, 8, 48, 64)).shape == (2, 2)


@torch.no_grad()
def test_a_classifier_of_images_and_other_patches_are_inflated_too(tiny, tiny_clips, tmp_path):
    source = Classifier(create_model(IMAGE, **tiny).encoder, AB)
    torch.nn.init.normal_(source.encoder.head.norm.weight)
    path = saved(source, tmp_path / "tuned")
    settings = {**tiny_clips, "patch": (2, 16, 16), "channels": 1}
    model, said = started(path, ST, tmp_path, **settings)
    assert "from 3 to 1 channels" in said and "from patches of (8, 8) to (16, 16)" in said
    assert_close(model.encoder.head.norm.weight, source.encoder.head.norm.weight)
    assert model(torch.randn(2, 1, 16, 32, 32)).shape == (2, 2)


def test_licence_and_source_go_along(tiny, tiny_clips, tmp_path):
    model = create_model(IMAGE, **tiny)
    model.encoder.recipe["licence"] = "cc-by-nc-4.0"
    path = saved(model, tmp_path / "image")
    assert load_with_report(path).recipe["licence"] == "cc-by-nc-4.0"
    tuned, _ = started(path, ST, tmp_path, **tiny_clips)
    assert tuned.encoder.recipe["licence"] == "cc-by-nc-4.0"
    assert tuned.encoder.recipe["model"]["name"] == ST


def test_fewer_axes_are_refused(recipe, tiny_clips, tmp_path):
    path = saved(create_model(ST, **tiny_clips), tmp_path / "clips")
    with pytest.raises(ValueError, match=f"is for {IMAGE}, and .* holds {ST}"):
        starting_point(recipe(IMAGE), ["--init", str(path)], "finetune")


@pytest.mark.parametrize("name", [ST, VIDEO])
@torch.no_grad()
def test_more_frames_and_other_sizes(tiny_clips, tmp_path, name):
    path = saved(create_model(name, **tiny_clips), tmp_path / "clips")
    settings = {**tiny_clips, "size": (32, 32, 48)}
    model, said = started(path, name, tmp_path, **settings)
    stretched = "time 8 -> 16, linear; space (4, 4) -> (4, 6), bicubic"
    assert (stretched if name == ST else "computed anew: encoder.positions for (16, 4, 6)") in said
    assert model(torch.randn(2, 3, 32, 32, 48)).shape == (2, 2)
    settings = {**tiny_clips, "size": (8, 32, 32)}
    _, said = started(path, name, tmp_path, **settings)
    assert ("time 8 -> 4, linear" in said) == (name == ST) and "space" not in said


@pytest.mark.parametrize("patch", [(1, 8, 8), (4, 8, 8), (2, 16, 8)])
@pytest.mark.parametrize("name", [ST, VIDEO])
@torch.no_grad()
def test_other_patches(tiny_clips, tmp_path, name, patch):
    path = saved(create_model(name, **tiny_clips), tmp_path / "clips")
    more = {"predicted_frames": "all"} if name == ST else {}
    model, said = started(path, name, tmp_path, **{**tiny_clips, "patch": patch, **more})
    assert f"resized: encoder.embed from patches of (2, 8, 8) to {patch}" in said
    assert model(torch.randn(2, 3, 16, 32, 32)).shape == (2, 2)


def test_still_patches_look_the_same_at_any_length():
    kernel, flat = torch.randn(5, 3, 2, 4, 4), torch.randn(3, 4, 4)

    def answers(kernel):
        clip = flat.unsqueeze(1).expand(-1, kernel.shape[2], -1, -1)
        return (kernel * clip).flatten(1).sum(1)

    for length in (1, 3, 4):
        longer = adapt_patch(kernel, (length, 4, 4))
        assert longer.shape == (5, 3, length, 4, 4)
        assert_close(answers(longer), answers(kernel), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("patch", [(16, 16), (12, 20), (6, 5)])
def test_kernels_of_images_are_resized_as_in_timm(patch):
    from timm.layers.patch_embed import resample_patch_embed

    kernel = torch.randn(4, 3, 8, 8)
    expected = resample_patch_embed(kernel, list(patch))
    assert_close(adapt_patch(kernel, patch), expected, rtol=1e-4, atol=1e-4)
