"""Sounds as data: cut, lengthened, normalised, and the same whoever reads them."""

import numpy as np
import pytest
import soundfile
import torch
from torch.testing import assert_close

from maskedae.data import BadSample
from maskedae.datasets.sounds import Sounds

RATE = 16000
SHAPE = (1, 96, 64)  # 0.975 s at 16 kHz


@pytest.fixture
def folder(tmp_path):
    """Sounds of 0.3, 0.975 and 3 s in two classes, and one too short."""
    rng = np.random.default_rng(0)
    for name, seconds in (("a/short", 0.3), ("a/whole", 0.975), ("b/long", 3.0), ("b/tiny", 0.02)):
        path = tmp_path / f"{name}.wav"
        path.parent.mkdir(exist_ok=True)
        wave = rng.standard_normal(int(seconds * RATE)) * 0.1
        soundfile.write(path, wave.astype(np.float32), RATE, subtype="FLOAT")
    return tmp_path


def centred(wave):
    return wave - wave.mean()


def opened(folder, augment=False, shape=SHAPE, **settings):
    data = Sounds(root=str(folder), mels=64, **{"held_out_share": 0, **settings})
    source = data.source("train", shape, augment=augment)
    names = [source.name(i).rsplit("/")[-1].removesuffix(".wav") for i in range(len(source))]
    return data, source, {name: index for index, name in enumerate(names)}


def test_sounds_that_are_as_long_as_the_model_takes_are_kernels_of_one(folder):
    data, source, number = opened(folder)
    found = source.read(number["whole"])
    assert found.shape == source.shape == (1, 1, data.fbank.samples(96))
    wave, _ = soundfile.read(folder / "a/whole.wav", dtype="float32")
    assert_close(found[0, 0], centred(torch.from_numpy(wave)[: found.shape[-1]]))


@pytest.mark.parametrize("short", ["left_out", "zeros", "tile"])
def test_short_sounds(folder, short):
    data, source, number = opened(folder, short=short)
    sample = source.read(number["short"])
    signal = data.signal(sample)
    mean, std = data.statistics
    frames = data.fbank.frames(4800)
    assert signal.shape == (1, 1, 96, 64) and frames == 28
    wave, _ = soundfile.read(folder / "a/short.wav", dtype="float32")
    own = (data.fbank(torch.from_numpy(wave)) - mean) / (2 * std)
    assert_close(signal[0, 0, :frames], own, rtol=1e-3, atol=1e-3)
    rest = signal[0, 0, frames + 1 :]
    if short == "zeros":
        assert_close(rest, torch.full_like(rest, -mean / (2 * std)))
    elif short == "tile":
        assert rest.isfinite().all() and rest.std() > 0.05
    else:  # silence up to the end of a patch, then nothing
        assert signal[0, 0, :32].isfinite().all() and signal[0, 0, 32:].isnan().all()
    assert data.ragged == (short == "left_out")


def test_statistics_are_divided_by_twice_the_deviation(folder):
    data, source, number = opened(folder, mean=[-5.0], std=[2.0])
    sample = source.read(number["whole"])
    assert_close(data.signal(sample)[0, 0], (data.fbank(sample[0, 0]) + 5.0) / 4.0)


def test_long_sounds_are_cut_anywhere_in_training_and_at_the_beginning_else(folder):
    _, source, number = opened(folder)
    wave, _ = soundfile.read(folder / "b/long.wav", dtype="float32")
    assert_close(
        source.read(number["long"])[0, 0], centred(torch.from_numpy(wave)[: source.samples])
    )
    _, source, number = opened(folder, augment=True, repeats=3)
    torch.manual_seed(0)
    views = source.read(number["long"])
    assert views.shape == (3, 1, source.samples)
    starts = [
        next(
            i
            for i in range(len(wave))
            if np.allclose(np.diff(wave[i : i + 50]), np.diff(view[0, :50]), atol=1e-6)
        )
        for view in views
    ]
    assert len(set(starts)) == 3
    torch.manual_seed(0)
    assert source.read(number["long"]).equal(views)


def test_views_are_spread_along_a_sound(folder):
    _, source, number = opened(folder, test_views=3)
    views = source.read(number["long"])
    wave = torch.from_numpy(soundfile.read(folder / "b/long.wav", dtype="float32")[0])
    assert_close(views[0, 0], centred(wave[: source.samples]))
    assert_close(views[2, 0], centred(wave[-source.samples :]))
    short = source.read(number["short"])
    assert short[0].nan_to_num().equal(short[2].nan_to_num())


def test_windows_are_samples_with_times(folder):
    data = Sounds(mels=64, window=0.9, hop=0.7)
    source = data.files([str(folder / "b/long.wav")], SHAPE)
    starts = pytest.approx([0, 0.7, 1.4, 2.1])
    assert source.spans[:, 0].tolist() == starts
    assert source.spans[:, 1].tolist() == pytest.approx([0.9, 1.6, 2.3, 3.0])
    wave = torch.from_numpy(soundfile.read(folder / "b/long.wav", dtype="float32")[0])
    for index, (start, _) in enumerate(source.spans.tolist()):
        first = round(start * RATE)
        found = source.read(index)[0, 0][: round(0.9 * RATE)]
        assert_close(found, centred(wave[first : first + len(found)]))
    with pytest.raises(ValueError, match="data.window=0.97 or --data.test_views=2 would fit"):
        Sounds(mels=64, window=1.5).files([str(folder / "b/long.wav")], SHAPE)
    views = Sounds(mels=64, window=1.5, test_views=2).files([str(folder / "b/long.wav")], SHAPE)
    assert len(views) == 2 and views.shape[0] == 2


def test_sounds_that_are_too_short_say_how_much_is_needed(folder):
    _, source, number = opened(folder)
    with pytest.raises(BadSample, match="320 samples at 16000 Hz, and a frame needs 400"):
        source.read(number["tiny"])


@pytest.mark.parametrize("change", [{"roll": "cyclic"}, {"gain": True}, {"noise": 20.0}])
def test_augmentation_changes_what_is_read_in_training_alone(folder, change):
    _, plain, number = opened(folder, augment=True)
    _, source, _ = opened(folder, augment=True, **change)
    whole = number["whole"]
    assert not source.read(whole).equal(plain.read(whole))
    assert not source.read(whole).equal(source.read(whole))
    _, source, _ = opened(folder, **change)
    assert source.read(whole).equal(source.read(whole))


def test_bands_are_hidden_by_noise_alone(folder):
    data, source, number = opened(folder, mask_time=20, mask_frequency=10)
    sample = source.read(number["whole"])
    noise = torch.full((1, data.noise_size), 0.5)
    plain, hidden = data.signal(sample), data.signal(sample, noise)
    mean, std = data.statistics
    changed = plain != hidden
    assert 0.1 < changed.float().mean() < 0.5
    assert_close(hidden[changed], torch.full_like(hidden[changed], -mean / (2 * std)))
    assert Sounds().noise_size == 0


def test_folds_are_of_data_that_come_in_folds(folder):
    with pytest.raises(ValueError, match=f"fold is 2, and {folder} come in no folds, as ESC-50"):
        opened(folder, fold=2)
    data = Sounds(root=None, mels=64, fold=2)  # of a checkpoint, to answer for files
    assert len(data.files([str(folder)], SHAPE))


def test_a_single_sample_is_too_short(tmp_path):
    soundfile.write(tmp_path / "one.wav", np.zeros(1), 48000)
    source = Sounds(mels=64).files([str(tmp_path / "one.wav")], SHAPE)
    with pytest.raises(BadSample, match="0 samples at 16000 Hz, and a frame needs 400"):
        source.read(0)


def test_an_offset_makes_no_step_where_a_sound_ends(tmp_path):
    soundfile.write(tmp_path / "offset.wav", np.full(5000, 0.3), RATE)
    data = Sounds(mels=64)
    sample = data.files([str(tmp_path / "offset.wav")], SHAPE).read(0)
    assert sample[sample.isfinite()].abs().max() < 1e-6


@pytest.mark.parametrize(
    ("settings", "shape", "words"),
    [
        ({}, (1, 96, 128), "--data.mels=128"),
        ({}, (3, 224, 224), "spectrograms are"),
        ({"window": -1.0}, SHAPE, "window"),
        ({"hop": 1.0}, SHAPE, "needs data.window"),
        ({"mean": [1.0, 2.0]}, SHAPE, "one number"),
        ({"repeats": 0}, SHAPE, "1 or more"),
        ({"rate": 0}, SHAPE, "data.rate is 0"),
        ({"rate": 50}, SHAPE, "a higher rate"),
        ({"frame_shift": 0.0}, SHAPE, "data.frame_shift is 0"),
        ({"std": [0.0]}, SHAPE, "data.std"),
    ],
)
def test_settings_that_do_not_fit_are_refused(folder, settings, shape, words):
    with pytest.raises(ValueError, match=words):
        opened(folder, shape=shape, **settings)


def test_other_levels_than_those_told_are_remarked(folder):
    _, source, _ = opened(folder, mean=[40.0], std=[4.0])
    assert "doctor DIR --stats" in source.remarks
    data, source, number = opened(folder)
    log_mel = data.fbank(torch.cat([source.read(number[name])[0, 0] for name in ("whole", "long")]))
    told = {"mean": [float(log_mel.mean())], "std": [float(log_mel.std())]}
    assert not opened(folder, **told)[1].remarks


def test_figures_are_pictures_and_sounds(folder, tmp_path):
    from maskedae.data import Panel

    data, source, number = opened(folder)
    signal = data.signal(source.read(number["whole"]))[0]
    rows = [[Panel(name, signal) for name in ("whole.wav", "masked", "imagined", "both")]]
    written = data.draw(rows, "a note", tmp_path / "out" / "grid.wav")
    assert written == data.drawn(tmp_path / "out" / "grid.wav") and len(written) == 5
    assert all(path.is_file() for path in written)
    wave, rate = soundfile.read(tmp_path / "out" / "grid-original.wav")
    assert rate == RATE and len(wave) >= source.samples - 400 and np.abs(wave).max() > 0.01
    assert data.draw(rows, "a note", tmp_path / "grid.png") == [tmp_path / "grid.png"]
    with pytest.raises(ValueError, match="grid.jpg"):
        data.drawn(tmp_path / "grid.jpg")
    bright, dark = data.shade(torch.ones(1)), data.shade(torch.zeros(1))
    assert bright > dark


def test_sounds_of_real_people(shared):
    data = Sounds(root=str(shared / "audio_speech"), rate=8000, mels=64)
    source = data.source("held_out", SHAPE, augment=False)
    assert len(source) == 300 and len(source.classes) == 10
    for index in range(0, 300, 37):
        signal = data.signal(source.read(index))
        assert signal[0, 0, :8].isfinite().all() and signal.shape == (1, *SHAPE)
