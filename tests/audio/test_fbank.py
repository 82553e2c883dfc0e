"""Log-mel features: the numbers of torchaudio, for batches, gradients and absent samples."""

import math

import pytest
import soundfile
import torch
from torch.testing import assert_close
from torchaudio.compliance import kaldi

from maskedae.datasets.audio import fbank as module
from maskedae.datasets.audio.fbank import Fbank

RATES = (8000, 11025, 16000, 22050, 32000, 44100, 48000)


def published(waveform, rate=16000, mels=128):
    """What torchaudio makes of one waveform, (samples,), with the arguments of the papers."""
    return kaldi.fbank(
        waveform[None],
        htk_compat=True,
        use_energy=False,
        window_type="hanning",
        dither=0.0,
        num_mel_bins=mels,
        sample_frequency=rate,
    )


def assert_agree(found, expected):
    """Compare log energies to 1e-4 where float32 can tell them.

    A spectrum in float32 is off by some 1e-7 of its loudest frequency: by 1e-4 of a band with a
    hundred-thousandth of that power, by more of a fainter one. There torchaudio in float32 differs
    as much from itself in float64. So energies may differ by 1e-9 of the loudest band, too.
    """
    found, expected = found.double().exp(), expected.double().exp()
    loudest = expected.amax(-1, keepdim=True)
    excess = (found - expected).abs() - 1e-4 * expected - 1e-9 * loudest
    assert (excess <= 0).all(), (found / expected).log().abs().max()


def noise(*shape):
    return 0.1 * torch.randn(shape)


@pytest.mark.parametrize("mels", [23, 40, 64, 80, 128])
@pytest.mark.parametrize("rate", RATES)
def test_equal_to_torchaudio(rate, mels):
    fbank = Fbank(rate, mels)
    for samples in (fbank.length, fbank.length + 1, rate // 3, rate + 7):
        waveform = noise(samples)
        expected = published(waveform.double(), rate, mels)
        assert fbank.frames(samples) == len(expected)
        assert_agree(fbank(waveform), expected)


def test_as_exact_as_torchaudio():
    waveform = noise(80000)
    exact = published(waveform.double())
    ours, theirs = ((it - exact).abs() for it in (Fbank()(waveform), published(waveform)))
    assert ours.mean() < 1.5 * theirs.mean()
    assert (ours > 1e-4).double().mean() < 1e-3


def test_published_values():
    moments = torch.arange(16000, dtype=torch.float64) / 16000
    tones = 0.5 * torch.sin(2 * math.pi * 440 * moments)
    tones += 0.1 * torch.sin(2 * math.pi * 3000 * moments)
    found = Fbank()((tones - tones.mean()).float())
    assert found.shape == (98, 128)
    assert found.mean().item() == pytest.approx(-12.091916, abs=1e-4)
    assert found.std().item() == pytest.approx(5.533344, abs=1e-4)
    values = {(0, 20): -0.35965, (0, 30): -7.50074, (50, 31): -7.60003, (50, 84): 4.99875}
    values |= {(50, 91): -13.07242}
    for place, value in values.items():
        assert found[place].item() == pytest.approx(value, abs=1e-4)
    # Here is only rounding: torchaudio has -14.11519 in float64, ours lies on its other side.
    assert found[0, 0].item() == pytest.approx(-14.11557, abs=1e-3)
    assert found[50].argmax() == 84
    assert (found[:, 3] == math.log(module.FLOOR)).all()  # no frequency falls into this band


def test_real_sounds(shared):
    for path in sorted(shared.glob("audio_*/test/*/*"))[::50]:
        values, rate = soundfile.read(path, dtype="float32", always_2d=True)
        waveform = torch.from_numpy(values).mean(1)
        assert_agree(Fbank(rate)(waveform), published(waveform.double(), rate))


def test_an_offset_changes_nothing():
    waveform = noise(8000)
    assert_agree(Fbank()(waveform + 0.3), Fbank()(waveform))


@pytest.mark.parametrize("seconds", [0.2, 1.0, 20.0])
def test_batches_are_waveforms_side_by_side(seconds):
    waveforms = noise(2, 6, int(seconds * 8000))
    fbank = Fbank(8000, 40)
    found = fbank(waveforms)
    assert found.shape == (2, 6, fbank.frames(waveforms.shape[-1]), 40)
    for index in ((0, 0), (0, 5), (1, 0), (1, 4)):
        assert_close(found[index], fbank(waveforms[index]), atol=2e-3, rtol=0)


def test_nothing_depends_on_how_many_frames_are_taken_at_once(monkeypatch):
    waveforms = noise(3, 4000)
    expected = Fbank()(waveforms)
    for most in (1, 7, 50):
        monkeypatch.setattr(module, "at_once", lambda device, most=most: most)
        assert_close(Fbank()(waveforms), expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize("rate", [16000, 22050])
@pytest.mark.parametrize("place", [0, 399, 400, 2999, 3000, 5999])
def test_nan_stays_in_the_frames_that_touch_it(rate, place):
    fbank = Fbank(rate)
    clean = noise(2, 6000)
    waveform = clean.clone()
    waveform[0, place] = math.nan
    found = fbank(waveform)
    touched = [
        k * fbank.shift <= place < k * fbank.shift + fbank.length for k in range(len(found[0]))
    ]
    assert found[0].isnan().all(-1).tolist() == found[0].isnan().any(-1).tolist() == touched
    untouched = ~torch.tensor(touched)
    assert_close(found[0, untouched], fbank(clean)[0, untouched], atol=2e-3, rtol=0)
    assert found[1].isfinite().all()


def test_computes_in_float32():
    fbank, waveform = Fbank(), noise(3000)
    with torch.autocast("cpu", torch.bfloat16):
        found = fbank(waveform)
    assert found.dtype == torch.float32
    assert_close(found, fbank(waveform), atol=0, rtol=0)
    halved = fbank(waveform.bfloat16())
    assert halved.dtype == torch.float32
    assert_close(halved, fbank(waveform.bfloat16().float()), atol=0, rtol=0)
    assert fbank(waveform.double()).dtype == torch.float32


def test_gradients_are_those_of_torchaudio():
    waveform = noise(2, 2000)
    fbank = Fbank()
    module.made.cache_clear()
    with torch.inference_mode():
        fbank(waveform)  # leaves nothing behind that has no gradients
    ours, theirs = waveform.clone().requires_grad_(), waveform.double().requires_grad_()
    weights = torch.rand(2, fbank.frames(2000), 128)
    (fbank(ours).exp() * weights).sum().backward()
    sum((published(row).exp() * w).sum() for row, w in zip(theirs, weights, strict=True)).backward()
    assert_close(ours.grad.double(), theirs.grad, atol=1e-4 * theirs.grad.abs().max(), rtol=1e-3)


def test_gradients_of_silence_are_finite():
    waveform = torch.zeros(2000, requires_grad=True)
    Fbank()(waveform).sum().backward()
    assert waveform.grad.isfinite().all()


@pytest.mark.parametrize("rate", RATES)
def test_samples_and_frames(rate):
    fbank = Fbank(rate)
    for frames in (1, 2, 98, 998):
        assert fbank.frames(fbank.samples(frames)) == frames
        assert fbank.frames(fbank.samples(frames) - 1) == frames - 1
    assert fbank.frames(0) == 0


def test_centres_rise():
    centres = Fbank().centres()
    assert centres.shape == (128,)
    assert 20 < centres[0] < centres[-1] < 8000
    assert (centres.diff() > 0).all()
    tone = torch.sin(2 * math.pi * centres[60].double() * torch.arange(8000) / 16000).float()
    assert (Fbank()(tone).argmax(-1) == 60).all()


def test_too_short():
    with pytest.raises(
        ValueError, match=r"399 samples are too short.* 400 samples .25 ms at 16000"
    ):
        Fbank()(torch.zeros(2, 399))


def test_compiles_as_one_graph():
    waveform = noise(2, 1000)
    compiled = torch.compile(Fbank(), fullgraph=True, backend="eager")
    assert_close(compiled(waveform), Fbank()(waveform), atol=2e-3, rtol=0)
