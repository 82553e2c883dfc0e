import pytest
import torch
from torch.testing import assert_close

from maskedae.bands import BandMasker

CASES = [(0.7, 0.3, 19, 5), (0.3, 0.3, 44, 5), (0.2, 0.2, 51, 6), (0.7, 0, 19, 8), (0, 0.5, 64, 4)]


def visible(mask, grid):
    """Where patches are visible: (B, T, F)."""
    patches = torch.Size(grid).numel()
    return torch.zeros(len(mask.visible), patches).scatter(1, mask.visible, 1).unflatten(1, grid)


@pytest.mark.parametrize(("time", "frequency", "slots", "bands"), CASES)
def test_whole_slots_and_whole_bands_are_hidden(time, frequency, slots, bands):
    """The counts are those of the released code, for pre-training and for fine-tuning."""
    seen = visible(BandMasker(time, frequency)(3, (64, 8)), (64, 8))
    along, across = seen.amax(2), seen.amax(1)
    assert seen.equal(along[:, :, None] * across[:, None])
    assert along.sum(1).tolist() == [slots] * 3 and across.sum(1).tolist() == [bands] * 3


def test_slots_come_by_their_noise():
    noise = torch.rand(4, 30)
    mask = BandMasker(0.5, 0.5)(4, (6, 5), noise=noise)
    visible = noise[:, :6].gather(1, mask.visible // 5)
    assert visible.diff(dim=1).ge(0).all()


def test_lowest_noise_stays_visible():
    noise = torch.tensor([[0.9, 0.1, 0.2, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.7, 0.6, 0.8]])
    mask = BandMasker(0.4, 0.5)(1, (3, 4), noise=noise)
    assert mask.visible.tolist() == [[4, 6]]


def test_all_slots_and_bands_are_hidden_equally_often_and_apart():
    seen = visible(BandMasker(0.5, 0.25)(4000, (6, 4)), (6, 4))
    slots, bands = seen.amax(2), seen.amax(1)
    assert_close(slots.mean(0), torch.full((6,), 0.5), atol=0.03, rtol=0)
    assert_close(bands.mean(0), torch.full((4,), 0.75), atol=0.03, rtol=0)
    both = torch.corrcoef(torch.cat([slots, bands], dim=1).T)[:6, 6:]
    assert both.abs().max() < 0.06


@pytest.mark.parametrize("grid", [(1, 8), (8, 1), (2, 2), (3, 1)])
def test_at_least_one_of_each_stays_visible(grid):
    mask = BandMasker(0.9, 0.9)(2, grid)
    assert mask.visible.shape == (2, 1)


@pytest.mark.parametrize(
    ("masker", "grid", "message"),
    [
        (BandMasker(0.1, 0), (1, 8), "hide none"),
        (BandMasker(0, 0), (64, 8), "above 0.016 and 0.125"),
        (BandMasker(1, 0.3), (64, 8), "a share of 1 cannot"),
        (BandMasker(0.3, -0.1), (64, 8), "from 0 to below 1"),
        (BandMasker(), (4, 8, 8), r"two axes, not of \(4, 8, 8\)"),
    ],
)
def test_masks_that_cannot_be_are_refused(masker, grid, message):
    with pytest.raises(ValueError, match=message):
        masker(2, grid)
