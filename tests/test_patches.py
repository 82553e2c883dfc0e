import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from maskedae.patches import PatchEmbed, grid_of, patchify, unpatchify

CASES = [((12,), (3,)), ((8, 12), (4, 3)), ((4, 8, 6), (2, 4, 3))]


@pytest.mark.parametrize(("size", "patch"), CASES)
def test_round_trip(size, patch):
    x = torch.randn(2, 3, *size)
    grid = grid_of(size, patch)
    assert unpatchify(patchify(x, patch), grid, patch).equal(x)


def test_element_order_is_rows_columns_channels():
    x = torch.randn(1, 3, 8, 12)
    patch = patchify(x, (4, 3))[0, 5]  # row 1, column 1 of a grid of 2 x 4
    assert patch[(2 * 3 + 1) * 3 + 2] == x[0, 2, 4 + 2, 3 + 1]


@pytest.mark.parametrize(("size", "patch"), CASES)
def test_embedding_is_the_published_convolution(size, patch):
    embed, x = PatchEmbed(3, patch, 16), torch.randn(2, 3, *size)
    convolve = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[len(size)]
    expected = convolve(x, embed.weight, embed.bias, stride=patch).flatten(2).transpose(1, 2)
    assert_close(embed(x), expected, rtol=1e-5, atol=1e-5)
    index = torch.tensor([[3, 0], [1, 2]])
    rows = expected[torch.arange(2)[:, None], index]
    assert_close(embed(x, index), rows, rtol=1e-5, atol=1e-5)


def test_only_chosen_patches_are_embedded():
    x = torch.randn(1, 3, 8, 8, requires_grad=True)
    PatchEmbed(3, (4, 4), 16)(x, torch.tensor([[2]])).sum().backward()
    touched = x.grad[0].abs().sum(0) > 0
    assert touched[4:, :4].all() and touched.sum() == 16


OVERLAPPING = [((13,), (4,), (3,)), ((13, 9), (4, 3), (3, 2)), ((5, 8, 7), (2, 4, 3), (1, 2, 2))]


@pytest.mark.parametrize(("size", "patch", "stride"), OVERLAPPING)
def test_overlapping_patches_come_back_as_their_mean(size, patch, stride):
    x, grid = torch.randn(2, 3, *size), grid_of(size, patch, stride)
    patches = patchify(x, patch, stride)
    assert patches.shape[1] == torch.Size(grid).numel()
    assert_close(unpatchify(patches, grid, patch, stride, size), x)
    first = torch.zeros_like(patches)
    first[:, 0] = 1
    shares = unpatchify(first, grid, patch, stride, size).flatten(2)[0, 0]
    assert shares[0] == 1 and 0 < shares[shares > 0].min() < 1


def test_what_no_patch_covers_is_nan():
    patches = patchify(torch.arange(8.0).view(1, 1, 8), (4,), (3,))
    back = unpatchify(patches, (2,), (4,), (3,), (8,)).flatten()
    assert back[:7].tolist() == [0, 1, 2, 3, 4, 5, 6] and back[7].isnan()


@pytest.mark.parametrize(("size", "patch", "stride"), OVERLAPPING)
def test_overlapping_embedding_is_the_published_convolution(size, patch, stride):
    embed, x = PatchEmbed(3, patch, 16, stride, size), torch.randn(2, 3, *size)
    convolve = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[len(size)]
    expected = convolve(x, embed.weight, embed.bias, stride=stride).flatten(2).transpose(1, 2)
    assert_close(embed(x), expected, rtol=1e-5, atol=1e-5)
    index = torch.tensor([[3, 0], [1, 2]])
    rows = expected[torch.arange(2)[:, None], index]
    assert_close(embed(x, index), rows, rtol=1e-5, atol=1e-5)


def test_patches_that_do_not_overlap_are_cut_alike_either_way():
    x = torch.randn(2, 3, 8, 12)
    assert patchify(x, (4, 3), (4, 3)).equal(patchify(x, (4, 3)))
    assert grid_of((1024, 128), (16, 16), (10, 10)) == (101, 12)


@pytest.mark.parametrize(
    ("size", "stride", "message"),
    [
        ((32, 32), (17, 16), r"every \(17, 16\) leave gaps"),
        ((32, 32), (0, 8), "leave gaps"),
        ((32, 32), (8,), "leave gaps"),
        ((15, 32), (8, 8), "larger than a signal"),
    ],
)
def test_strides_that_do_not_fit_are_refused(size, stride, message):
    with pytest.raises(ValueError, match=message):
        grid_of(size, (16, 16), stride)


@pytest.mark.parametrize(("size", "fits"), [((30, 32), "(32, 32)"), ((5, 33), "(16, 32)")])
def test_sizes_that_do_not_fit_are_refused_with_one_that_does(size, fits):
    with pytest.raises(ValueError, match="do not tile") as error:
        grid_of(size, (16, 16))
    assert fits in str(error.value)
