"""Recipes of Hiera hold the published numbers, and can be made."""

import sys
from operator import floordiv
from pathlib import Path

import pytest

from maskedae.recipe import recipe_names
from maskedae.zoo import model_file

sys.path.append(str(Path(__file__).parent))
from making import made  # noqa: E402

# arXiv:2306.00989, tables 11 and 14. Passes, samples in a step, learning rate, dropped paths.
PICTURES = {
    "tiny": (400, 4096, 8e-4, 0),
    "small": (400, 4096, 8e-4, 0),
    "base": (400, 4096, 8e-4, 0.2),
    "base_plus": (400, 4096, 8e-4, 0.2),
    "large": (400, 4096, 8e-4, 0.2),
    "huge": (400, 4096, 8e-4, 0.3),
}
FILMS = {
    "base": (200, 512, 8e-4, 0.1),
    "base_plus": (200, 512, 8e-4, 0.2),
    "large": (200, 512, 8e-4, 0.2),
    "huge": (400, 512, 8e-4, 0.3),
}
# The same, decay over layers, and what of the head's input is dropped.
TUNED_PICTURES = {
    "tiny": (300, 1024, 2e-3, 0.1, 0.65, 0),
    "small": (200, 1024, 2e-3, 0.1, 0.65, 0),
    "base": (100, 1024, 2e-3, 0.1, 0.7, 0),
    "base_plus": (100, 1024, 1e-3, 0.1, 0.7, 0),
    "large": (50, 1024, 1e-3, 0.1, 0.85, 0),
    "huge": (50, 1024, 1e-3, 0.3, 0.85, 0),
}
TUNED_FILMS = {
    "base": (75, 256, 8e-4, 0.2, 0.8, 0.3),
    "base_plus": (75, 256, 8e-4, 0.2, 0.8, 0.3),
    "large": (50, 256, 8e-4, 0.2, 0.875, 0.5),
    "huge": (50, 256, 4e-4, 0.3, 0.875, 0.5),
}
PRETRAINING = {f"hiera_{size}_imagenet": row for size, row in PICTURES.items()}
PRETRAINING |= {f"hiera_{size}_kinetics400": row for size, row in FILMS.items()}
FINETUNING = {f"hiera_finetune_{size}_imagenet": row for size, row in TUNED_PICTURES.items()}
FINETUNING |= {f"hiera_finetune_{size}_kinetics400": row for size, row in TUNED_FILMS.items()}


@pytest.mark.parametrize("name", PRETRAINING)
def test_published_pretraining(name):
    recipe, films = made(name), "kinetics" in name
    train, data = recipe.train, recipe.data
    found = train.epochs, train.batch_size, train.peak_lr, train.drop_path
    assert found == pytest.approx(PRETRAINING[name])
    assert train.warmup_epochs == (30 if films else 40) and train.betas == (0.9, 0.95)
    assert train.weight_decay == 0.05 and recipe.masker.ratio == (0.9 if films else 0.6)
    assert data.scale == ((0.5, 1.0) if films else (0.2, 1.0)) and data.flip == 0.5
    published = {**vars(model_file(recipe.model_name).MODELS[recipe.model_name])}
    assert vars(recipe.model) == {**published, "positions": "published"}
    assert name.split("_imagenet")[0].split("_kinetics")[0] in recipe.model_name


@pytest.mark.parametrize("name", FINETUNING)
def test_published_fine_tuning(name):
    recipe, films = made(name), "kinetics" in name
    train, tuned, data = recipe.train, recipe.finetune, recipe.data
    found = train.epochs, train.batch_size, train.peak_lr, train.drop_path, train.layer_decay
    assert (*found, tuned.dropout) == pytest.approx(FINETUNING[name])
    assert train.warmup_epochs == 5 and train.betas == (0.9, 0.999) and train.weight_decay == 0.05
    assert (tuned.mixup, tuned.cutmix, tuned.smoothing) == (0.8, 1.0, 0.1)
    assert data.rand_augment == f"rand-m{7 if films else 9}-mstd0.5-inc1"
    assert train.clip == (5.0 if films else None)
    size = (
        name.removeprefix("hiera_finetune").removesuffix("_imagenet").removesuffix("_kinetics400")
    )
    assert recipe.model_name == f"hiera{size}_{'16x' if films else ''}224"


@pytest.mark.parametrize("name", [name for name in (*PRETRAINING, *FINETUNING) if "kinet" in name])
def test_films_are_seen_as_published(name):
    data = made(name).data
    assert data.repeats == (2 if "finetune" in name else 4)
    assert data.interval == pytest.approx(4 / 30)
    assert (data.mean, data.std) == ([0.45] * 3, [0.225] * 3)


def test_every_published_recipe_is_looked_at():
    found = {
        name for name in recipe_names() if "hiera" in name and ("net" in name or "kin" in name)
    }
    assert found == {*PRETRAINING, *FINETUNING}


@pytest.mark.parametrize(
    "name", [n for n in recipe_names() if "hiera" in n and "tune" not in n and "coco" not in n]
)
def test_half_of_the_units_or_more_are_hidden(name):
    recipe = made(name)
    config, steps = recipe.model, model_file(recipe.model_name).STEPS
    pooled = [step ** (len(config.stages) - 1) for step in steps]
    unit = [side * n for side, n in zip(config.stride, pooled, strict=True)]
    mask = recipe.masker(1, tuple(map(floordiv, config.size, unit)))
    assert mask.hidden.shape[1] >= mask.visible.shape[1] > 1
