"""What fine-tuning does to pictures belongs to the sample and does what is published."""

import random

import numpy as np
import pytest
import torch

from maskedae.augmentation import Erase, RandAugment

MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


@pytest.fixture
def picture():
    return torch.randint(0, 256, (3, 64, 48), dtype=torch.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_rand_augment_draws_from_torch_alone(picture, channels):
    picture, augment = picture[:channels], RandAugment("rand-m9-mstd0.5-inc1", MEAN[:channels])
    states = random.getstate(), np.random.get_state()[1].tolist()
    found = []
    for seed in range(12):
        torch.manual_seed(seed)
        found.append(augment(picture))
        random.seed(seed)  # noise of others changes nothing
        np.random.seed(seed)
        torch.manual_seed(seed)
        assert augment(picture).equal(found[-1])
        assert found[-1].shape == picture.shape and found[-1].dtype == torch.uint8
    assert sum(not one.equal(picture) for one in found) > 6
    random.setstate(states[0])
    augment(picture)
    assert random.getstate() == states[0]


def test_rand_augment_at_its_strongest():
    """timm then asks to leave no bit of a colour."""
    picture = torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8)
    augment = RandAugment("rand-m10-mstd0.5-inc1", MEAN)
    for seed in range(500):
        torch.manual_seed(seed)
        assert augment(picture).shape == picture.shape


def test_rand_augment_refuses_what_it_cannot():
    with pytest.raises(ValueError, match="1 or 3 channels, not 4"):
        RandAugment("rand-m9-mstd0.5-inc1", torch.zeros(4, 1, 1))


def test_erased_boxes_are_normal_once_normalised():
    gray = torch.full((3, 200, 200), 7, dtype=torch.uint8)
    areas, values = [], []
    erase = Erase(1.0, MEAN, STD)
    for seed in range(40):
        torch.manual_seed(seed)
        erased = erase(gray)
        changed = (erased != 7).any(dim=0)
        areas.append(float(changed.float().mean()))
        values.append(((erased / 255 - MEAN) / STD)[:, changed].flatten())
    assert min(areas) > 0.02 * 0.95 and max(areas) < 1 / 3 + 0.01
    drawn = torch.cat(values)
    # Bytes end at black and white, which cuts the tails below about -2 and above 2.2.
    assert drawn.mean().abs() < 0.05 and 0.9 < drawn.std() < 1
    torch.manual_seed(0)
    kept = sum(Erase(0.25, MEAN, STD)(gray).equal(gray) for _ in range(400))
    assert 260 < kept < 340
