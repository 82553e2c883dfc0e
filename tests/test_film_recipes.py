"""Recipes of films hold the published numbers, and can be made."""

import sys
from pathlib import Path

import pytest

from maskedae.recipe import recipe_names
from maskedae.zoo import model_file

sys.path.append(str(Path(__file__).parent))
from making import made  # noqa: E402

# Passes over the films, clips of each time, films in a step, learning rate, decay over layers.
PUBLISHED = {
    "mae_st_vit_base_kinetics400": (200, 4, 1024, 1.6e-3, None),
    "mae_st_vit_large_kinetics400": (200, 4, 512, 1.6e-3, None),
    "mae_st_vit_huge_kinetics400": (400, 4, 512, 1.6e-3, None),
    "videomae_vit_small_kinetics400": (1600, 1, 1024, 6e-4, None),
    "videomae_vit_base_kinetics400": (1600, 1, 2048, 1.2e-3, None),
    "videomae_vit_large_kinetics400": (1600, 1, 512, 3e-4, None),
    "videomae_vit_base_ssv2": (2400, 1, 2048, 1.2e-3, None),
    "mae_st_finetune_vit_base_kinetics400": (75, 2, 768, 1.6e-2, 0.65),
    "mae_st_finetune_vit_large_kinetics400": (50, 2, 256, 4.8e-3, 0.75),
    "mae_st_finetune_vit_huge_kinetics400": (75, 1, 256, 1.6e-3, 0.8),
    "videomae_finetune_vit_small_kinetics400": (150, 2, 384, 7.5e-4, 0.75),
    "videomae_finetune_vit_base_kinetics400": (75, 2, 384, 7.5e-4, 0.75),
    "videomae_finetune_vit_large_kinetics400": (35, 2, 128, 1e-3, 0.75),
    "videomae_finetune_vit_base_ssv2": (30, 2, 384, 7.5e-4, 0.75),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_numbers(name):
    recipe, (epochs, repeats, batch, lr, decay) = made(name), PUBLISHED[name]
    train = recipe.train
    assert (train.epochs, recipe.data.repeats, train.batch_size) == (epochs, repeats, batch)
    assert train.peak_lr == pytest.approx(lr, rel=2e-3) and train.layer_decay == decay
    assert train.warmup_epochs < train.epochs / 3 and train.weight_decay == 0.05
    assert recipe.model == model_file(recipe.model_name).MODELS[recipe.model_name]


def test_every_published_recipe_of_films_is_looked_at():
    names = [name for name in recipe_names() if not name.startswith("hiera")]
    found = {name for name in names if "kinetics" in name or "ssv2" in name}
    assert found == set(PUBLISHED)


def test_what_sets_the_two_systems_apart():
    st, tubes = made("mae_st_vit_large_kinetics400"), made("videomae_vit_base_kinetics400")
    assert st.train.clip == 0.02 and tubes.train.clip is None
    assert st.data.mean == [0.45] * 3 and tubes.data.mean is None
    assert (st.data.flip, tubes.data.flip) == (0.5, 0)
    assert tubes.data.multi_scale == [1, 0.875, 0.75, 0.66]
    assert tubes.train.min_lr == pytest.approx(1e-5 * 2048 / 256)
    tuned = made("mae_st_finetune_vit_huge_kinetics400")
    assert (tuned.finetune.keep_norm, tuned.finetune.dropout) == (True, 0.5)
    assert tuned.train.drop_path == 0.2
