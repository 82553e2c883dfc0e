"""Recipes of detection hold the published numbers, and can be made."""

import sys
from pathlib import Path

import pytest
import torch

from maskedae.detection.detector import Detector
from maskedae.optim import learning_rate
from maskedae.recipe import find_recipe, recipe_names
from maskedae.zoo import create_model

sys.path.append(str(Path(__file__).parent))
from making import made  # noqa: E402

NAMES = [name for name in recipe_names() if find_recipe(name).parent.name == "detection"]
# arXiv:2203.16527 and its repository. Passes, dropped paths, decay over layers, blocks that look
# everywhere, AP of boxes and of masks.
PLAIN = {
    "base": (100, 0.1, 0.7, [2, 5, 8, 11], "51.6", "45.9"),
    "large": (100, 0.4, 0.8, [5, 11, 17, 23], "55.5", "49.2"),
    "huge": (75, 0.5, 0.9, [7, 15, 23, 31], "56.7", "50.2"),
}
STEPS = 184_375  # of 100 epochs, of 64 pictures each


@pytest.mark.parametrize("size", PLAIN)
def test_published_detection(size):
    recipe = made(f"vitdet_vit_{size}_coco")
    train, epochs = recipe.train, PLAIN[size][0]
    assert (train.epochs, train.drop_path, train.layer_decay) == PLAIN[size][:3]
    assert (train.batch_size, train.betas, train.weight_decay) == (64, (0.9, 0.999), 0.1)
    assert recipe.model.size == (1024, 1024) and recipe.model.patch == (16, 16)
    assert recipe.data.scale == (0.1, 2.0) and recipe.data.flip == 0.5
    assert recipe.data.masks and recipe.detect.masks
    header = find_recipe(f"vitdet_vit_{size}_coco").read_text()
    assert f"published: {PLAIN[size][4]} box AP, {PLAIN[size][5]} mask AP" in header
    with torch.device("meta"):
        encoder = create_model(recipe.model_name, **vars(recipe.model)).encoder
        detector = Detector(encoder, ("a",), recipe.detect)
    assert sorted(detector.maps.wide) == PLAIN[size][3] and detector.maps.window == 14

    def rate(step):
        epoch = step / STEPS * 100
        return learning_rate(epoch, train.peak_lr, 0, train.warmup_epochs, epochs, train.drops)

    share = epochs / 100  # of the steps
    assert [rate(251), rate(163_885 * share)] == pytest.approx([1e-4] * 2)
    assert [rate(163_895 * share), rate(177_540 * share)] == pytest.approx([1e-5] * 2)
    assert rate(177_550 * share) == pytest.approx(1e-6) and rate(125) < 0.51e-4


@pytest.mark.parametrize("name", NAMES)
def test_a_detector_can_be_made(name):
    recipe = made(name, "--model.name=mae_vit_small_patch16") if "small" in name else made(name)
    with torch.device("meta"):
        encoder = create_model(recipe.model_name, **vars(recipe.model)).encoder
        detector = Detector(encoder, ("a", "b"), recipe.detect)
    assert detector.group_matcher() and recipe.train.warmup_epochs < recipe.train.epochs / 3


def test_every_recipe_of_coco_is_looked_at():
    sizes = {f"vitdet_vit_{size}_coco" for size in PLAIN}
    assert {name for name in NAMES if "coco" in name and "vitdet" in name} == sizes
