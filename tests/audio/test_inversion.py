"""Sound made from log-mel features: it has these features again."""

import math

import pytest
import soundfile
import torch
from torch.testing import assert_close

from maskedae.datasets.audio.fbank import FLOOR, Fbank, mel_filters
from maskedae.datasets.audio.inversion import to_powers, to_waveform


def tone(frequency, seconds=0.4, rate=16000):
    moments = torch.arange(int(seconds * rate), dtype=torch.float64) / rate
    return (0.3 * torch.sin(2 * math.pi * frequency * moments)).float()


def distance(sound, log_mel, fbank):
    """Mean difference of log energies, but in bands in which there is no frequency."""
    some = mel_filters(fbank)[0].any(1)
    return (fbank(sound) - log_mel).abs()[:, some].mean().item()


@pytest.mark.parametrize("fbank", [Fbank(), Fbank(22050, 64), Fbank(8000, 23)], ids=str)
def test_noise_has_its_features_again(fbank):
    noise = 0.1 * torch.randn(8000)
    log_mel = fbank(noise)
    sound = to_waveform(log_mel, fbank)
    assert sound.shape == (fbank.samples(len(log_mel)),)
    assert sound.dtype == torch.float32
    assert sound.abs().max() <= 1
    assert distance(sound, log_mel, fbank) < 0.25
    assert distance(torch.zeros_like(sound), log_mel, fbank) > 5


@pytest.mark.parametrize("path", ["audio_env/test/dog_bark", "audio_speech/test/3"])
def test_real_sounds_have_their_features_again(shared, path):
    values, rate = soundfile.read(sorted((shared / path).iterdir())[0], dtype="float32")
    fbank = Fbank(rate)
    log_mel = fbank(torch.from_numpy(values)[:rate])
    sound = to_waveform(log_mel, fbank)
    silence = distance(torch.zeros_like(sound), log_mel, fbank)
    assert distance(sound, log_mel, fbank) < silence / 20


def test_sounds_where_it_sounded():
    whole = torch.cat([torch.zeros(4000), tone(1000, 0.1), torch.zeros(6000)])
    sound = to_waveform(Fbank()(whole), Fbank())
    energy = sound.square()
    middle = (energy * torch.arange(len(sound))).sum() / energy.sum()
    assert middle.item() == pytest.approx(4800, abs=40)
    assert energy[:3600].sum() + energy[6000:].sum() < 0.01 * energy.sum()


def test_what_is_absent_is_silent():
    log_mel = Fbank()(tone(500))
    log_mel[:15] = math.nan
    log_mel[:, 90:] = math.nan
    sound = to_waveform(log_mel, Fbank())
    assert sound.isfinite().all()
    assert sound[: 14 * 160].abs().max() < 0.05 * sound.abs().max()
    silent = log_mel.nan_to_num(nan=math.log(FLOOR))
    assert_close(to_waveform(silent, Fbank()), sound, atol=0, rtol=0)


def test_silence_is_silence():
    for value in (math.nan, math.log(FLOOR)):
        assert not to_waveform(torch.full((5, 128), value), Fbank()).any()


def test_too_loud_a_sound_is_scaled_to_fit():
    log_mel = Fbank()(tone(440))
    loud = to_waveform(log_mel + 10.0, Fbank())
    assert loud.abs().max().item() == pytest.approx(1.0)
    assert distance(to_waveform(log_mel, Fbank()), log_mel, Fbank()) < 1.0


def test_the_same_sound_each_time():
    log_mel = Fbank()(0.1 * torch.randn(3000))
    state = torch.get_rng_state()
    first = to_waveform(log_mel, Fbank())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(to_waveform(log_mel, Fbank()), first)


def test_powers_make_the_energies():
    filters = mel_filters(Fbank())[0]
    energies = torch.rand(7, 256).pow(4) @ filters.T
    powers = to_powers(energies, filters)
    assert (powers >= 0).all()
    some = filters.any(1)
    ratios = (powers @ filters.T)[:, some] / energies[:, some]
    assert ratios.log().abs().mean() < 0.02
