"""Recipes of films with sound hold the published numbers, and can be made."""

import sys
from pathlib import Path

import pytest

from maskedae.masking import RandomMasker
from maskedae.pairs import PairMasker
from maskedae.recipe import find_recipe, recipe_names
from maskedae.zoo import model_file

sys.path.append(str(Path(__file__).parent))
from making import made  # noqa: E402

NAMES = [name for name in recipe_names() if find_recipe(name).parent.name == "audio_video"]
TUNING = [name for name in NAMES if "finetune" in name]
STUDENTS = [name for name in NAMES if name.endswith("_stage2")]
# Passes, warm-up, samples in a step, learning rate, weight decay.
PUBLISHED = {
    "mavil_vit_base_audioset": (20, 4, 512, 4e-4, 1e-5),
    "mavil_finetune_vit_base_as2m": (100, 10, 256, 2e-4, 5e-4),
    "mavil_finetune_vit_base_as20k": (60, 4, 32, 1.25e-4, 5e-4),
    "mavil_finetune_vit_base_vggsound": (60, 4, 256, 2e-4, 5e-4),
}


def recipe_of(name, *more):
    model = ("--model.name=mavil_vit_base",) if "finetune" in name else ()
    return made(name, *model, *more)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_numbers(name):
    recipe = recipe_of(name)
    train, data, model = recipe.train, recipe.data, recipe.model
    found = train.epochs, train.warmup_epochs, train.batch_size, train.peak_lr, train.weight_decay
    assert found == pytest.approx(PUBLISHED[name]) and train.min_lr == 1e-6
    assert vars(model) == vars(model_file("mavil_vit_base").MODELS["mavil_vit_base"])
    assert (model.audio_size, model.video_size) == ((1024, 128), (8, 224, 224))
    assert (data.interval, data.channel, data.missing) == (0.5, "left", "keep")
    assert (data.mean, data.std) == ([-4.2677393], [4.5689974])
    assert data.labels == ("class" if "vggsound" in name else "classes")


def test_stages_of_the_paper():
    recipe = recipe_of("mavil_vit_base_audioset")
    assert recipe.masker == RandomMasker(0.8) and recipe.train.betas == (0.9, 0.95)
    assert (recipe.begin, recipe.teacher, recipe.model.predicts) == ((), None, "signal")
    assert recipe_of("mavil_vit_base_audioset_stage2").begin == ()


@pytest.mark.parametrize("name", STUDENTS)
def test_a_student_differs_in_what_it_predicts_alone(name):
    first, second = (
        recipe_of(name.removesuffix("_stage2")),
        recipe_of(name),
    )
    assert second.model.predicts == "features"
    apart = {k for k, v in vars(second.model).items() if v != getattr(first.model, k)}
    if name.startswith("mavil"):
        assert apart == {"predicts"} and first.data == second.data
    sizes = {"inter_weight", "intra_weight", "predicts"}
    assert apart <= sizes and first.masker == second.masker
    assert second.begin in ((), ("teacher",)) and second.teacher is None


@pytest.mark.parametrize("name", [name for name in TUNING if "vit_base" in name])
@pytest.mark.parametrize("modality", ["av", "a", "v"])
def test_fine_tuning_of_either_and_of_both(name, modality):
    recipe = recipe_of(name, f"--model.modality={modality}")
    tuned, train = recipe.finetune, recipe.train
    assert recipe.model.modality == modality and (train.layer_decay, train.drop_path) == (0.75, 0.1)
    assert (tuned.mixup, tuned.mix_share, tuned.cutmix, tuned.pool) == (10, 0.5, 0, "mean")
    assert isinstance(tuned.masker, PairMasker) and tuned.masker.video == RandomMasker(0.2)
    assert (tuned.masker.audio.time, tuned.masker.audio.frequency) == (0.2, 0.2)
    assert (recipe.data.mask_time, recipe.data.mask_frequency) == (192, 48)
    assert recipe.data.balance == name.endswith("as2m")


def test_every_published_recipe_is_looked_at():
    corpora = ("audioset", "as2m", "as20k", "vggsound")
    found = {name for name in NAMES if name.startswith("mavil") and name.endswith(corpora)}
    assert found == set(PUBLISHED)


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_can_be_made(name):
    recipe = recipe_of(name)
    assert type(recipe.data).__name__ == "AudioVideo"
    assert recipe.train.warmup_epochs < recipe.train.epochs
    head = find_recipe(name).read_text().splitlines()[:8]
    assert any("# Cost:" in line for line in head) and any("# Result:" in line for line in head)
    if recipe.masker is not None:
        assert (recipe.data.mels or 128) == recipe.model.audio_size[1]
        seconds = recipe.model.video_size[0] * (recipe.data.interval or 0.5)
        # The clip lies within its sound, or they last about as long.
        assert seconds <= recipe.model.audio_size[0] * 0.01 * 1.05
