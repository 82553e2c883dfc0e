"""Every change of a sound changes something, by chance of its own, and nothing else."""

import pytest
import torch
from torch.testing import assert_close

from maskedae.datasets.audio.augmenting import add_noise, change_gain, hide_bands, roll


@pytest.fixture
def waveform():
    return torch.sin(torch.arange(4000) * 0.1) * torch.linspace(0, 1, 4000)


def test_rolling_moves_every_sample_and_keeps_them_all(waveform):
    rolled = {tuple(roll(waveform, "cyclic")[:5].tolist()) for _ in range(20)}
    assert len(rolled) == 20
    assert_close(roll(waveform, "cyclic").sort().values, waveform.sort().values, rtol=0, atol=0)


def test_the_published_roll_does_nothing(waveform):
    assert roll(waveform, "published").equal(waveform) and roll(waveform, "none").equal(waveform)


def test_gain_is_near_one_and_never_beyond_a_half_of_it(waveform):
    gains = torch.tensor([float(change_gain(torch.ones(1))) for _ in range(500)])
    assert 0.5 <= gains.min() < 0.85 and 1.15 < gains.max() <= 1.5
    assert abs(gains.mean() - 1) < 0.02 and abs(gains.std() - 0.109) < 0.02  # Beta(10, 10)


@pytest.mark.parametrize("decibels", [0.0, 20.0])
def test_noise_lies_so_far_below_the_sound(waveform, decibels):
    noise = add_noise(waveform, decibels) - waveform
    found = 10 * torch.log10(waveform.square().mean() / noise.square().mean())
    assert abs(float(found) - decibels) < 0.5
    assert add_noise(torch.zeros(10), 20.0).equal(torch.zeros(10))


def test_bands_are_zero_and_the_rest_as_it_was():
    log_mel, noise = torch.rand(64, 40, 16) + 1, torch.rand(64, 4)
    hidden = hide_bands(log_mel, noise, time=12, frequency=6)
    gone = hidden == 0
    assert hidden[~gone].equal(log_mel[~gone])
    columns, rows = gone.all(dim=2).sum(dim=1), gone.all(dim=1).sum(dim=1)
    assert columns.max() <= 12 and rows.max() <= 6 and columns.max() > 9 and rows.max() > 3
    assert len(columns.unique()) > 8 and len(rows.unique()) > 3
    for sample, frames, bands in zip(gone, columns, rows, strict=True):
        assert sample.sum() == frames * 16 + bands * 40 - frames * bands


def test_bands_are_those_of_torchaudio():
    """Width and start are cut in the same way from the same draws."""
    from torchaudio.functional import mask_along_axis

    log_mel = torch.rand(1, 16, 40) + 1
    for seed in range(50):
        torch.manual_seed(seed)
        theirs = mask_along_axis(log_mel, 12, 0.0, 2)
        torch.manual_seed(seed)
        draws = torch.rand(1), torch.rand(1)
        noise = torch.stack([torch.zeros(1), torch.zeros(1), *draws], dim=1)
        ours = hide_bands(log_mel.transpose(1, 2), noise, time=12, frequency=0)
        assert_close(ours.transpose(1, 2), theirs)


def test_bands_wider_than_the_spectrogram_are_cut():
    hidden = hide_bands(torch.ones(32, 8, 4), torch.rand(32, 4), time=192, frequency=48)
    assert 0 < float((hidden == 0).float().mean()) < 1
    assert hide_bands(torch.ones(2, 8, 4), torch.rand(2, 4), 0, 0).eq(1).all()


def test_what_has_ended_stays_so():
    log_mel = torch.ones(4, 8, 4)
    log_mel[:, 6:] = torch.nan
    hidden = hide_bands(log_mel, torch.rand(4, 4), time=2, frequency=1)
    assert hidden[:, :6].isfinite().all() and hidden[:, 6:].isnan().all()
