"""Films with sound as samples: of both, of either, from folders and lists."""

import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from torch.testing import assert_close

from maskedae.data import BadSample
from maskedae.datasets.audio_video import AudioVideo
from maskedae.datasets.films.writing import write_film
from maskedae.datasets.sounds import Sounds
from maskedae.datasets.videos import Videos
from maskedae.loading import Samples, training_loader
from maskedae.pairs import Pair
from maskedae.sampling import MicroBatches, Plan

SOUND, FILM = (1, 96, 32), (3, 4, 16, 16)
BOTH = (SOUND, FILM)
SETTINGS = {"mels": 32, "interval": 0.2}
RATE = 16000
BAD = Path(__file__).parents[3] / "shared" / "data" / "bad_inputs"


def tone(seconds, pitch=440.0):
    times = np.arange(round(seconds * RATE)) / RATE
    return (0.4 * np.sin(2 * np.pi * pitch * times * (1 + times))).astype(np.float32)


def film(path, frames=20, sound=2.0, pitch=440.0):
    """A film of 10 frames a second, gray of ten times their number, with a tone that rises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shades = np.arange(frames, dtype=np.uint8)[:, None, None, None] * 10
    pixels = np.broadcast_to(shades, (frames, 32, 48, 3)).copy()
    write_film(path, pixels, 10.0, sound=(tone(sound, pitch), RATE) if sound else None)
    return path


def numbers(clip):
    """Which frames a clip (C, T, H, W) shows."""
    return clip.float().mean(dim=(0, 2, 3)).div(10).round().int().tolist()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of films, of which one film is silent, and a sound without pictures."""
    root = tmp_path_factory.mktemp("films")
    for number, label in enumerate(("high", "low")):
        for count in range(3):
            film(root / "train" / label / f"{count}.mp4", pitch=300.0 * (number + 1))
        film(root / "val" / label / "0.mp4")
    film(root / "val/low/1.mp4", sound=0.0)
    soundfile.write(root / "val/low/2.wav", tone(1.5), RATE)
    return root


def test_a_sample_is_of_both(folder):
    data = AudioVideo(root=str(folder), **SETTINGS)
    source = data.source("train", BOTH, augment=False)
    assert len(source) == 6 and source.classes == ("high", "low") and data.lacking
    assert source.shape == (1, 400 + 95 * 160 + 3 * 4 * 16 * 16)
    pair = source.read(0)
    assert pair.audio.shape == (1, 1, 15600) and pair.video.shape == (1, *FILM)
    assert pair.video.dtype == torch.uint8 and pair.heard.all() and pair.seen.all()
    assert numbers(pair.video[0]) == [6, 8, 10, 12]  # the middle, and the sound around it
    signal = data.signal(pair)
    assert signal.audio.shape == (1, *SOUND) and signal.video.shape == (1, *FILM)


def test_of_one_kind_it_is_what_sounds_and_videos_give(folder):
    data = AudioVideo(root=str(folder), **SETTINGS, video_mean=[0.3], mean=[-5.0], std=[3.0])
    sounds = Sounds(root=str(folder), mels=32, short="zeros", mean=[-5.0], std=[3.0])
    videos = Videos(root=str(folder), interval=0.2, mean=[0.3])
    for one, shape in ((sounds, SOUND), (videos, FILM)):
        found = []
        for each in (data, one):
            torch.manual_seed(0)
            sample = each.source("train", shape, augment=True).read(1)
            found.append((sample, each.signal(sample), each.shade(torch.rand(shape))))
        torch.manual_seed(0)
        for ours, theirs in zip(*(pair[:2] for pair in found), strict=True):
            assert ours.equal(theirs)
    pair = data.synthetic(2, BOTH)
    assert len(pair) == 2 and pair.heard.all() and data.signal(pair).audio.shape == (2, *SOUND)


def test_pictures_are_those_of_videos_and_sound_lies_around_them(folder):
    data = AudioVideo(root=str(folder), **SETTINGS, repeats=3, flip=0.0)
    source = data.source("train", BOTH, augment=True)
    torch.manual_seed(3)
    pair = source.read(0)
    assert pair.audio.shape == (3, 1, 15600) and len(set(map(str, map(numbers, pair.video)))) > 1
    whole = Sounds(mels=32).files([source.name(0)], (1, 198, 32)).read(0)[0, 0]
    for waveform, clip in zip(pair.audio[:, 0], pair.video, strict=True):
        likeness = np.correlate(whole.nan_to_num().numpy(), waveform[:4000].numpy(), "valid")
        start = int(likeness.argmax()) / RATE
        first = numbers(clip)[0] / 10
        assert first - 0.18 < start < first + 0.01  # 0.8 s in 0.975
        assert likeness.max() > 0.9 * float(waveform[:4000].square().sum())


def test_what_is_drawn_hangs_on_no_other_sample(folder):
    """As many numbers for a film with sound as without: what follows them is the same."""
    data = AudioVideo(**SETTINGS, gain=False)
    paths = [str(folder / "val/low" / name) for name in ("0.mp4", "1.mp4", "2.wav")]
    source, states = data.files(paths, BOTH), []
    source.augment, source.film.crop = True, data.videos.crop(FILM, False)
    for index in range(3):
        torch.manual_seed(0)
        np.random.seed(index)
        source.read(index)
        states.append(torch.rand(1).item())
    assert len(set(states)) == 1


def test_workers_read_the_same(folder):
    data = AudioVideo(root=str(folder), **SETTINGS, repeats=2, roll="cyclic", noise=20.0)
    source = data.source("train", BOTH, augment=True)
    order = MicroBatches(Plan(source.shares, 4, 1, 0))
    samples = Samples(source, 0, 3)
    alone, helped = (list(training_loader(samples, order, n, pin=False)) for n in (0, 2))
    for a, b in zip(alone, helped, strict=True):
        assert a.samples.audio.equal(b.samples.audio) and a.samples.video.equal(b.samples.video)
        assert len(a.samples) == 8 and a.samples.heard.all()


def test_what_is_absent_is_said(folder):
    data = AudioVideo(root=str(folder), **SETTINGS)
    source = data.source("held_out", BOTH, augment=False)
    pairs = {Path(source.name(index)).name: source.read(index) for index in range(len(source))}
    assert {name: (p.heard.item(), p.seen.item()) for name, p in pairs.items()} == {
        "0.mp4": (True, True),
        "1.mp4": (False, True),
        "2.wav": (True, False),
    }
    alone = Sounds(mels=32, short="zeros").files([str(folder / "val/low/2.wav")], SOUND).read(0)
    assert pairs["2.wav"].audio.equal(alone)
    strict = AudioVideo(root=str(folder), **SETTINGS, missing="skip")
    source = strict.source("held_out", BOTH, augment=False)
    assert not strict.lacking
    for index, why in ((2, "no sound track"), (3, "a sound without pictures")):
        with pytest.raises(BadSample, match=why):
            source.read(index)


def test_views_and_windows(folder, tmp_path):
    path = str(film(tmp_path / "long.mp4", frames=25, sound=2.5))
    views = AudioVideo(**SETTINGS, test_views=3).files([path], BOTH).read(0)
    assert [numbers(clip)[0] for clip in views.video] == [0, 9, 18]
    data = AudioVideo(root=str(tmp_path), **SETTINGS, window=1.0)
    source = data.files([path], BOTH)
    assert source.spans.flatten().tolist() == pytest.approx([0.0, 1.0, 1.0, 2.0, 1.5, 2.5])
    assert [numbers(source.read(i).video[0]) for i in (1, 2)] == [
        [11, 13, 15, 17],
        [16, 18, 20, 22],
    ]
    longer = data.files([path], ((1, 198, 32), FILM)).read(0).audio[0, 0]
    assert longer.isnan().sum() == 31920 - 16000  # no sound from beyond the window


@pytest.fixture
def manifest(tmp_path):
    """Pictures and sound apart, a film of its own, and what lacks either."""
    film(tmp_path / "films/a.mp4", sound=0.0)
    soundfile.write(tmp_path / "a.wav", tone(2.0), RATE)
    for number in range(20):
        (tmp_path / "frames/b").mkdir(parents=True, exist_ok=True)
        shade = np.full((32, 48, 3), 10 * number, np.uint8)
        Image.fromarray(shade).save(tmp_path / f"frames/b/{number}.png")
    film(tmp_path / "films/c.mp4")
    rows = [
        ("films/a.mp4", "a.wav", "x"),
        ("frames/b", "a.wav", "y"),
        ("films/c.mp4", "", "x"),
        ("frames/b", "", "y"),
        ("", "a.wav", "x"),
        ("films/a.mp4", "gone.wav", "y"),
    ]
    with open(tmp_path / "list.csv", "w", newline="") as file:
        csv.writer(file).writerows([("video", "audio", "label"), *rows])
    return tmp_path / "list.csv"


def test_pictures_and_sound_may_lie_apart(manifest):
    data = AudioVideo(root=str(manifest), **SETTINGS, held_out_share=0.0, frame_rate=10.0)
    source = data.source("train", BOTH, augment=False)
    assert source.labels.tolist() == [0, 1, 0, 1, 0, 1] and source.classes == ("x", "y")
    assert source.name(0) == str(manifest.parent / "films/a.mp4")
    pairs = [source.read(index) for index in range(5)]
    assert [p.heard.item() for p in pairs] == [True, True, True, False, True]
    assert [p.seen.item() for p in pairs] == [True, True, True, True, False]
    assert [numbers(p.video[0]) for p in pairs[:4]] == [[6, 8, 10, 12]] * 4
    assert_close(pairs[0].audio, pairs[1].audio)
    assert_close(pairs[0].audio, pairs[2].audio, atol=0.02, rtol=0)  # which AAC has kept
    with pytest.raises(BadSample, match=r"its sound, .*gone.wav: No such file"):
        source.read(5)
    sounds = data.source("train", SOUND, augment=False)
    assert [Path(sounds.name(i)).name for i in range(6)] == [
        *("a.wav", "a.wav", "c.mp4", "b", "a.wav", "gone.wav")
    ]
    films = data.source("train", FILM, augment=False)
    assert numbers(films.read(1)[0]) == [6, 8, 10, 12]
    moved = manifest.parent.parent / "moved"
    shutil.copytree(manifest.parent, moved)
    again = AudioVideo(root=str(moved / "list.csv"), held_out_share=0.0, **SETTINGS)
    assert again.source("train", BOTH, augment=False).fingerprint == source.fingerprint


def test_vggsound_and_audioset(tmp_path):
    names = ("-0RWZT-miFs_000030", "1bcdefghijk_000000", "2bcdefghijk_000110")
    (tmp_path / "video").mkdir()
    source = film(tmp_path / "one.mp4")
    for name in names[:2]:
        shutil.copy(source, tmp_path / "video" / f"{name}.mp4")
    source.unlink()
    rows = '-0RWZT-miFs,30,dog barking,train\n1bcdefghijk,0,"cat, purring",test\n'
    (tmp_path / "vggsound.csv").write_text(rows + "2bcdefghijk,110,dog barking,train\n")
    data = AudioVideo(root=str(tmp_path), **SETTINGS)
    parts = [data.source(split, BOTH, augment=False) for split in ("train", "held_out")]
    assert [part.name(0).split("/")[-1] for part in parts] == [f"{n}.mp4" for n in names[:2]]
    assert parts[0].classes == ("cat, purring", "dog barking") and len(parts[0]) == 1
    assert parts[0].labels.tolist() == [1] and parts[1].labels.tolist() == [0]
    assert "1 of 2 in vggsound.csv are there" in data.splits.train.remarks
    (tmp_path / "vggsound.csv").unlink()
    (tmp_path / "eval.csv").write_text(
        '# YTID, start_seconds, end_seconds, positive_labels\n1bcdefghijk, 0.0, 10.0, "/m/1,/m/2"\n'
    )
    data = AudioVideo(root=str(tmp_path / "eval.csv"), labels="classes", **SETTINGS)
    assert data.source("train", BOTH, augment=False).read(0).heard.item()


def rows():
    if not BAD.is_dir():
        return []
    with open(BAD / "manifest.csv", encoding="utf-8", newline="") as file:
        found = [(row["file"], row["expected"]) for row in csv.DictReader(file)]
    return [row for row in found if row[0].startswith(("audio/", "video/"))]


WHY = "empty|fmt|text, not|samples per second|moov|a frame needs|no samples"
LACKING = {  # what has no sound
    *("av1.mkv", "clip.gif", "decord_corrupted.mp4", "decord_unordered.mov", "h265_10bit.mp4"),
    *("hevc.mp4", "mjpeg.avi", "no_audio.mp4", "one_by_one_1fps.mp4", "one_frame.mp4"),
    *("rotate90_3frames.mov", "three_frames.mp4", "tiny_16x16.mp4", "variable_frame_rate.mp4"),
    *("vp9.webm", "yuv444.mp4"),
}


@pytest.fixture(scope="module")
def bad():
    """All films and sounds that are bad in some way, read by one process."""
    paths = [str(BAD / name) for name, _ in rows()]
    return AudioVideo(**SETTINGS).files(paths, ((1, 998, 32), FILM)) if paths else None


@pytest.mark.parametrize("number, name, expected", [(n, *row) for n, row in enumerate(rows())])
def test_bad_inputs_are_read_or_refused_as_listed(shared, bad, number, name, expected):
    if expected == "fail" or name in ("audio/zero_samples.wav",):
        with pytest.raises(BadSample, match=WHY):
            bad.read(number)
        return
    try:
        pair = bad.read(number)
    except BadSample as reason:
        assert "ok_or" in expected and re.search(WHY, str(reason)), reason
        return
    film, short = name.startswith("video/"), name.split("/")[1]
    assert pair.seen.item() == (film and short != "audio_only.mp4")
    assert pair.heard.item() == (short not in LACKING)
    assert pair.audio.nan_to_num().abs().max() < 100 and not pair.audio[0, 0, 0].isnan()


@pytest.mark.parametrize(
    "wrong",
    [
        {"repeats": 0},
        {"test_views": 0},
        {"window": -1.0},
        {"interval": 0.0},
        {"video_std": [1.0, 2.0]},
    ],
)
def test_settings_that_cannot_be(wrong):
    with pytest.raises(ValueError, match="would fit"):
        AudioVideo(**wrong)


def test_what_is_absent_is_no_part_of_a_signal():
    data = AudioVideo(**SETTINGS)
    pair = data.synthetic(2, BOTH)
    gone = Pair(pair.audio, pair.video, torch.tensor([True, False]), torch.tensor([False, True]))
    signal = data.signal(gone)
    assert signal.heard.tolist() == [True, False] and signal.seen.tolist() == [False, True]
