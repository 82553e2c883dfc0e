import pytest
import torch
from torch.testing import assert_close

from maskedae.masking import Mask, RandomMasker, take
from maskedae.patches import patchify
from maskedae.retargeting import ChannelsFirst
from maskedae.targets import NormalizedPixels, Pixels

PATCH = (4, 4)


def test_pixels_are_the_hidden_patches():
    x, hidden = torch.randn(2, 3, 16, 16), RandomMasker()(2, (4, 4)).hidden
    assert Pixels(PATCH)(x, hidden).equal(take(patchify(x, PATCH), hidden))


def test_normalised_patches_have_mean_zero_and_unbiased_variance_one():
    x, hidden = torch.randn(2, 3, 16, 16) * 3 + 5, RandomMasker()(2, (4, 4)).hidden
    target = NormalizedPixels(PATCH)(x, hidden)
    assert_close(target.mean(-1), torch.zeros(2, 12), atol=1e-5, rtol=0)
    assert_close(target.var(-1), torch.ones(2, 12), atol=1e-5, rtol=0)


def test_flat_patches_stay_finite_and_a_floor_calms_noise():
    x = torch.ones(1, 3, 16, 16) + 1e-3 * torch.randn(1, 3, 16, 16)
    hidden = torch.arange(12).unsqueeze(0)
    assert NormalizedPixels(PATCH)(torch.ones(1, 3, 16, 16), hidden).abs().max() == 0
    assert NormalizedPixels(PATCH)(x, hidden).std() > 0.5
    assert NormalizedPixels(PATCH, floor=0.01)(x, hidden).std() < 0.02


def test_oracle_restores_exactly():
    x, mask = torch.randn(2, 3, 16, 16), RandomMasker()(2, (4, 4))
    target = NormalizedPixels(PATCH)
    every = target(x, torch.arange(16).expand(2, -1))
    restored = target.restore(every, x, mask, oracle=True)
    assert_close(restored, patchify(x, PATCH), atol=1e-5, rtol=0)


def test_restoring_never_looks_at_hidden_pixels():
    x, mask = torch.randn(2, 3, 16, 16, requires_grad=True), RandomMasker()(2, (4, 4))
    imagined = torch.randn(2, 16, 48)
    restored = NormalizedPixels(PATCH).restore(imagined, x, mask, oracle=False)
    restored.square().sum().backward()
    gradient = patchify(x.grad, PATCH)
    assert (take(gradient, mask.hidden) == 0).all()
    assert (take(gradient, mask.visible) != 0).any()


def test_near_patches_lend_their_brightness():
    x = torch.zeros(1, 1, 8, 16)
    x[..., 8:] = 1  # the right half is bright
    mask = Mask(torch.tensor([[0, 3]]), torch.tensor([[1, 2, 4, 5, 6, 7]]))
    restored = NormalizedPixels(PATCH).restore(torch.zeros(1, 8, 16), x, mask, oracle=False)
    brightness = restored.mean(-1)[0]
    assert brightness[0] < 0.01 and brightness[1] < 0.3 < 0.7 < brightness[2]


@pytest.mark.parametrize("target", [Pixels(PATCH), NormalizedPixels(PATCH)])
def test_channels_of_a_patch_one_after_the_other(target):
    x, mask = torch.randn(2, 3, 16, 16), RandomMasker()(2, (4, 4))
    other = ChannelsFirst(target)
    assert other.needs_statistics == target.needs_statistics
    values = target(x, mask.hidden)
    found = other(x, mask.hidden)
    for channel in range(3):
        assert found[..., 16 * channel : 16 * channel + 16].equal(values[..., channel::3])
    every = torch.arange(16).expand(2, -1)
    for oracle in (True, False):
        restored = other.restore(other(x, every), x, mask, oracle)
        assert restored.equal(target.restore(target(x, every), x, mask, oracle))
    assert_close(other.restore(other(x, every), x, mask, oracle=True), patchify(x, PATCH))
