import math

import pytest
import torch
from torch.testing import assert_close

from maskedae.bands import BandMasker
from maskedae.masking import (
    BlockMasker,
    GridMasker,
    PixelMasker,
    RandomMasker,
    box_masker,
    num_visible,
    take,
)
from maskedae.tubes import SlotMasker, TubeMasker

HALF = torch.zeros(32, 24)
HALF[:16] = 1
MASKERS = [RandomMasker(), RandomMasker(0.4), BlockMasker(), BlockMasker(0.75), GridMasker()]
MASKERS += [TubeMasker(0.5), SlotMasker(0.5), BandMasker(), BandMasker(0, 0.5)]
MASKERS += [PixelMasker(HALF), box_masker([(0, 0, 12, 20)], (32, 24))]


@pytest.mark.parametrize("masker", MASKERS, ids=repr)
@pytest.mark.parametrize("grid", [(8, 6), (14, 14)])
def test_a_mask_is_a_partition(masker, grid):
    mask = masker(3, grid)
    both = torch.cat(mask, dim=1).sort(dim=1).values
    assert both.equal(torch.arange(math.prod(grid)).expand(3, -1))
    assert mask.visible.shape[1] > 0 and mask.hidden.shape[1] > 0


@pytest.mark.parametrize("masker", MASKERS, ids=repr)
def test_noise_decides(masker):
    noise = torch.rand(2, 48)
    first, again = masker(2, (8, 6), noise=noise), masker(2, (8, 6), noise=noise)
    assert first.visible.equal(again.visible) and first.hidden.equal(again.hidden)


@pytest.mark.parametrize(
    "masker", [RandomMasker(), BlockMasker(), TubeMasker(0.5), SlotMasker(0.5), BandMasker()]
)
def test_a_generator_decides_and_samples_differ(masker):
    drawn = [masker(2, (8, 8), generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert drawn[0].hidden.equal(drawn[1].hidden)
    assert not drawn[0].hidden.equal(drawn[2].hidden)
    assert set(drawn[0].hidden[0].tolist()) != set(drawn[0].hidden[1].tolist())


@pytest.mark.parametrize("masker", [RandomMasker(), BlockMasker(), TubeMasker(0.5)])
def test_a_sample_s_mask_does_not_depend_on_its_batch(masker):
    noise = torch.rand(3, 64)
    whole = masker(3, (8, 8), noise=noise)
    alone = masker(1, (8, 8), noise=noise[1:2])
    assert whole.hidden[1].equal(alone.hidden[0])


def test_lowest_noise_stays_visible():
    noise = torch.tensor([[0.9, 0.1, 0.5, 0.3]])
    mask = RandomMasker(0.5)(1, (2, 2), noise=noise)
    assert mask.visible.tolist() == [[1, 3]] and mask.hidden.tolist() == [[2, 0]]


@pytest.mark.parametrize(
    ("patches", "ratio", "visible"),
    [(196, 0.75, 49), (100, 0.9, 9), (1568, 0.9, 156), (256, 0.75, 64)],
)
def test_shares_are_cut_as_published(patches, ratio, visible):
    assert num_visible(patches, ratio) == visible


@pytest.mark.parametrize("ratio", [0, 1, 0.999, -0.5, 2])
def test_all_or_nothing_hidden_is_refused(ratio):
    with pytest.raises(ValueError, match="of 64 patches visible; ratios from"):
        RandomMasker(ratio)(1, (8, 8))


def test_random_hides_all_patches_equally_often():
    counts = torch.bincount(RandomMasker()(4000, (4, 4)).hidden.flatten(), minlength=16)
    assert_close(counts / 4000, torch.full((16,), 0.75), atol=0.03, rtol=0)


def test_blocks_are_blocks():
    """A hidden patch has more hidden neighbours than chance gives it."""

    def neighbours(mask):
        hidden = torch.zeros(200, 196).scatter(1, mask.hidden, 1).view(200, 14, 14)
        return (hidden[:, 1:] * hidden[:, :-1]).sum() / hidden[:, 1:].sum()

    assert neighbours(BlockMasker(0.4)(200, (14, 14))) > 0.75
    assert neighbours(RandomMasker(0.4)(200, (14, 14))) < 0.45


def test_blocks_last_for_some_slots():
    """A hidden patch has more hidden neighbours on every axis than chance gives it."""
    mask = BlockMasker(0.4)(100, (6, 10, 10))
    hidden = torch.zeros(100, 600).scatter(1, mask.hidden, 1).view(100, 6, 10, 10)
    for axis in (1, 2, 3):
        count = hidden.shape[axis] - 1
        pairs = hidden.narrow(axis, 1, count) * hidden.narrow(axis, 0, count)
        assert pairs.sum() / hidden.narrow(axis, 1, count).sum() > 0.65


def test_blocks_of_two_axes_are_what_they_were():
    noise = (7 * torch.arange(36.0)).remainder(36).view(1, 36) / 36
    mask = BlockMasker(0.5, smallest=4)(1, (6, 6), noise=noise)
    assert mask.visible[0].sort().values.tolist() == [*range(16), 23, 29]


def test_tubes_hide_the_same_places_in_every_slot():
    mask = TubeMasker(0.9)(3, (8, 14, 14))
    assert mask.visible.shape == (3, 160) and mask.hidden.shape == (3, 1408)
    hidden = torch.zeros(3, 1568).scatter(1, mask.hidden, 1).view(3, 8, 196)
    assert (hidden == hidden[:, :1]).all() and not hidden[0].equal(hidden[1])
    assert hidden[:, 0].sum(1).tolist() == [176] * 3


def test_slots_are_hidden_whole():
    mask = SlotMasker(0.75)(3, (8, 5, 6))
    hidden = torch.zeros(3, 240).scatter(1, mask.hidden, 1).view(3, 8, 30)
    assert hidden.mean(2).sort(dim=1).values.tolist() == [[0.0] * 2 + [1.0] * 6] * 3


def test_lowest_noise_of_the_first_slot_stays_visible_in_all():
    noise = torch.tensor([[0.9, 0.1, 0.5, 0.3, 0.0, 0.9, 0.0, 0.9]])
    assert TubeMasker(0.5)(1, (2, 2, 2), noise=noise).visible.tolist() == [[1, 3, 5, 7]]


def test_grid_leaves_one_of_four():
    mask = GridMasker()(2, (4, 6))
    assert mask.visible[0].tolist() == [0, 2, 4, 12, 14, 16]


def test_every_touched_patch_is_hidden():
    drawn = torch.zeros(32, 32)
    drawn[7, 8] = 1  # a single pixel, in the patch at row 0, column 1
    assert PixelMasker(drawn)(1, (4, 4)).hidden.tolist() == [[1]]
    assert box_masker([(7.5, 8, 9, 16)], (32, 32))(1, (4, 4)).hidden.sort().values.tolist() == [
        [4, 5]
    ]


def test_masks_of_each_sample_hide_the_same_number():
    drawn = torch.zeros(2, 32, 32)
    drawn[0, :8], drawn[1, :16] = 1, 1
    mask = PixelMasker(drawn)(2, (4, 4))
    assert mask.hidden.shape == (2, 8)
    assert {0, 1, 2, 3} < set(mask.hidden[0].tolist())
    assert set(mask.hidden[1].tolist()) == set(range(8))


@pytest.mark.parametrize(
    ("masker", "grid", "message"),
    [
        (PixelMasker(torch.zeros(8, 8)), (4, 4), "hides 0 of 16"),
        (PixelMasker(torch.ones(8, 8)), (4, 4), "hides 16 of 16"),
        (PixelMasker(torch.ones(5, 8, 8)), (4, 4), "fits neither"),
        (GridMasker(1), (4, 4), "hides nothing"),
        (BlockMasker(), (16,), "two axes"),
        (TubeMasker(0.01), (4, 4, 4), "leaves 16 of 16"),
        (SlotMasker(0.9), (4, 4, 4), "leaves 0 of 4"),
    ],
)
def test_masks_that_cannot_be_are_refused(masker, grid, message):
    with pytest.raises(ValueError, match=message):
        masker(2, grid)


def test_boxes_outside_are_refused():
    with pytest.raises(ValueError, match="inside 24 x 32 pixels"):
        box_masker([(0, 0, 32, 24)], (32, 24))


def test_noise_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"noise of shape \(2, 10\) for \(2, 16\)"):
        RandomMasker()(2, (4, 4), noise=torch.rand(2, 10))


def test_take():
    x = torch.arange(12.0).view(1, 4, 3)
    assert take(x, torch.tensor([[2, 0]])).tolist() == [[[6, 7, 8], [0, 1, 2]]]
