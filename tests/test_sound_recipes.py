"""Recipes of sounds hold the published numbers, and can be made."""

import pytest

from maskedae.commands.finetune import starting_point
from maskedae.recipe import find_recipe, make, parse, read_recipe, recipe_names, recipe_parser

# arXiv:2207.06405, table 3, and the authors' scripts where they run: passes, warm-up, sounds in a
# step, learning rate, weight decay.
PUBLISHED = {
    "audiomae_vit_small_audioset": (32, 3, 512, 4e-4, 1e-4),
    "audiomae_vit_base_audioset": (32, 3, 512, 4e-4, 1e-4),
    "audiomae_vit_large_audioset": (32, 3, 512, 4e-4, 1e-4),
    "audiomae_finetune_vit_base_as2m": (100, 10, 256, 2e-4, 5e-4),
    "audiomae_finetune_vit_base_as20k": (60, 4, 32, 1.25e-4, 5e-4),
    "audiomae_finetune_vit_base_esc50": (60, 4, 64, 2.5e-4, 1e-4),
    "audiomae_finetune_vit_base_speech_commands_v2": (60, 4, 256, 1e-3, 1e-4),
    "audiomae_finetune_vit_base_speech_commands_v1": (10, 1, 256, 1e-3, 1e-4),
    "audiomae_finetune_vit_base_voxceleb": (60, 4, 64, 2.5e-4, 1e-4),
}
# Frames, mean, deviation, SpecAugment in time and frequency.
HEARD = {
    "as2m": (1024, -4.2677393, 4.5689974, 192, 48),
    "as20k": (1024, -4.2677393, 4.5689974, 192, 48),
    "esc50": (512, -6.6268077, 5.358466, 96, 24),
    "speech_commands_v2": (128, -6.845978, 5.5654526, 48, 48),
    "speech_commands_v1": (128, -6.702, 5.448, 48, 48),
    "voxceleb": (1024, -6.370, 3.074, 192, 48),
}


def made(name):
    path = find_recipe(name)
    task = "finetune" if "finetune" in name else "pretrain"
    arguments, model = [], "audiomae_vit_base_patch16"
    if task == "finetune":
        arguments = ["--init", "none", f"--model.name={model}"]
        model = starting_point(path, arguments, task)[0]
    else:
        model = read_recipe(path, task)["model"]["name"]
    parser = recipe_parser(model, "test", task)
    return make(parser, parse(parser, path, arguments))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_numbers(name):
    recipe = made(name)
    train, data = recipe.train, recipe.data
    found = train.epochs, train.warmup_epochs, train.batch_size, train.peak_lr, train.weight_decay
    assert found == pytest.approx(PUBLISHED[name])
    assert train.min_lr == 1e-6 and recipe.model.patch == (16, 16)
    assert (data.channel, data.short, data.roll, data.gain) == ("left", "zeros", "published", True)
    assert recipe.model.positions == "published" and not data.ragged


@pytest.mark.parametrize("name", HEARD)
def test_what_is_heard(name):
    recipe = made(f"audiomae_finetune_vit_base_{name}")
    data, (frames, mean, std, time, bands) = recipe.data, HEARD[name]
    assert recipe.model.size == (frames, 128) and data.statistics == (mean, std)
    assert (data.mask_time, data.mask_frequency) == (time, bands)
    tuned = recipe.finetune
    assert recipe.train.drop_path == 0.1 and (tuned.mixup, tuned.mix_share) in ((10, 0.5), (0, 1))
    assert bool(tuned.mixup) == (name in ("as2m", "as20k") or "commands" in name)
    assert tuned.binary == ("commands" in name) and (data.labels == "classes") == ("as2" in name)
    assert (data.noise == 20) == (name not in ("as2m", "as20k", "esc50"))
    if "as2" in name:
        assert (tuned.masker.time, tuned.masker.frequency) == (0.2, 0.2)
    assert data.balance == (name in ("as2m", "speech_commands_v1"))


@pytest.mark.parametrize(
    "name", [n for n in recipe_names() if find_recipe(n).parent.name == "audio"]
)
def test_every_recipe_can_be_made(name):
    recipe = made(name)
    assert type(recipe.data).__name__ == "Sounds"
    assert recipe.train.warmup_epochs < recipe.train.epochs
    if "tiny" in name and recipe.masker:
        assert (recipe.data.grain or 16) == recipe.model.patch[0]
        assert recipe.data.mels == recipe.model.size[1]
