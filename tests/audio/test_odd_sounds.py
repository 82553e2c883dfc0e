import csv
import os
import random
import re
import resource
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import written  # noqa: E402

from maskedae.data import BadSample  # noqa: E402
from maskedae.datasets.audio.reading import facts, read  # noqa: E402

BAD = Path(__file__).parents[3] / "shared" / "data" / "bad_inputs"
HEARD = {  # films with sound, and when it begins and ends, in seconds
    "audio_only.mp4": (0.0, 2.02),
    "audio_8k.mp4": (0.0, 2.05),
    "audio_starts_late.mp4": (1.0, 2.02),
    "silent_audio.mp4": (1.02, 1.02),
    "audio_shorter.mp4": (0.0, 0.3),
    "failing_audio.mp4": (0.0, 11.23),
}
WHY = r"empty|header|text, not|samples per second|no sound track|moov|cannot be decoded|fmt"
CHILD = """
import sys
from maskedae.data import BadSample
from maskedae.datasets.audio.reading import facts, read
for path in sys.argv[1:]:
    try:
        facts(path)
        here = read(path, 16000), read(path, 16000, 0.1, 0.1)
        assert all(one.isfinite().all() and 0 < len(one) < 16000 * 9 for one in here)
        print("read")
    except BadSample as reason:
        assert 0 < len(str(reason)) < 150, str(reason)
        print("refused")
"""


def rows(folder):
    if not BAD.is_dir():
        return []
    with open(BAD / "manifest.csv", encoding="utf-8", newline="") as file:
        found = [(row["file"], row["expected"]) for row in csv.DictReader(file)]
    return [row for row in found if row[0].startswith(folder)]


@pytest.mark.parametrize("name, expected", rows("audio/"))
def test_bad_inputs_are_read_or_refused_as_listed(shared, name, expected):
    path = str(shared / "bad_inputs" / name)
    if expected in ("fail", "reject"):
        for ask in (facts, lambda path: read(path, 16000)):
            with pytest.raises(BadSample, match=WHY):
                ask(path)
        return
    try:
        found, here = facts(path), read(path, 16000)
    except BadSample:
        assert "rate_1hz" in name
        return
    assert len(here) and here.isfinite().all()
    assert found.seconds == pytest.approx(len(here) / 16000, abs=0.05)
    assert found.channels == (6 if "six" in name else 2 if "stereo" in name else 1)


def test_what_is_special_about_them_is_kept(shared):
    def of(name, **options):
        return read(str(shared / "bad_inputs" / "audio" / name), 16000, **options)

    assert not of("silent.wav").any()
    assert of("stereo_antiphase.wav").abs().max() < 1e-4
    assert of("stereo_antiphase.wav", channel="left").max() > 0.1
    assert of("float_over_range.wav").max() == 30
    torch.testing.assert_close(of("dc_offset.wav"), torch.full((16000,), 0.7), atol=1e-4, rtol=0)
    assert (of("nan_float.wav") == 0).sum() >= 100
    assert of("inf_float.wav").abs().max() < 1
    assert len(of("truncated.wav")) == pytest.approx(0.666 * 16000, abs=100)
    assert len(of("huge_claim.wav")) == pytest.approx(2000 / 44100 * 16000, abs=10)


@pytest.mark.parametrize("name, expected", rows("video/"))
def test_of_films_the_sound_is_read_or_missed(shared, name, expected):
    path = str(shared / "bad_inputs" / name)
    try:
        found, here = facts(path), read(path, 16000)
    except BadSample as reason:
        assert os.path.basename(name) not in HEARD
        assert re.search(WHY, str(reason))
        return
    assert len(here) and here.isfinite().all()
    if begin_end := HEARD.get(os.path.basename(name)):
        loud = [*here.abs().gt(1e-3).nonzero().flatten().tolist(), len(here)]
        assert loud[0] / 16000 == pytest.approx(begin_end[0], abs=0.05)
        assert len(here) / 16000 == pytest.approx(begin_end[1], abs=0.05)
        assert found.seconds == pytest.approx(begin_end[1], abs=0.1)


@pytest.mark.parametrize("share, wild", [(0.3, np.nan), (0.3, np.inf), (0.3, -1e30), (0.7, np.nan)])
def test_samples_that_are_no_numbers_are_silence_unless_most_are(tmp_path, share, wild):
    samples = np.full((8000, 2), 0.5, np.float32)
    samples[: round(share * 8000)] = wild
    path = written.write(tmp_path / "a.wav", samples, 8000, "FLOAT")
    if share > 0.5:
        with pytest.raises(BadSample, match="11200 of 16000 samples are not numbers"):
            read(path, 8000)
        return
    here = read(path, 8000)
    assert not here[:2400].any() and (here[2400:] == 0.5).all()
    assert read(path, 16000).isfinite().all()


def test_one_channel_of_nonsense_does_not_spoil_the_other(tmp_path):
    samples = np.full((8000, 2), 0.5, np.float32)
    samples[:, 1] = np.nan
    assert (read(written.write(tmp_path / "a.wav", samples, 8000, "FLOAT"), 8000) == 0.25).all()


def test_headers_that_promise_gigabytes_cost_none(tmp_path):
    plain = Path(written.write(tmp_path / "a.wav", written.tones(0.1)))
    content = bytearray(plain.read_bytes())
    content[40:44] = (2**31 - 2**10).to_bytes(4, "little")
    plain.write_bytes(content)
    packed = Path(written.write(tmp_path / "a.flac", written.tones(0.1)))
    content = bytearray(packed.read_bytes())
    content[21:26] = bytes([content[21] | 15, 255, 255, 255, 240])  # 36 bits count the samples
    packed.write_bytes(content)
    for path in (plain, packed):
        read(str(path), 16000)  # the filter is made
        tracemalloc.start()
        assert len(read(str(path), 16000)) == 1600
        assert tracemalloc.get_traced_memory()[1] < 2**23
        tracemalloc.stop()
        assert facts(str(path)).promised > 1000 and facts(str(path)).seconds < 1


@pytest.mark.parametrize("rate", [0, 1, 99, 1_000_000, 4_000_000_000])
def test_rates_that_are_none_are_refused(tmp_path, rate):
    path = Path(written.write(tmp_path / "a.wav", written.tones(0.1)))
    content = bytearray(path.read_bytes())
    content[24:28] = rate.to_bytes(4, "little")
    path.write_bytes(content)
    for ask in (facts, lambda path: read(path, 16000)):
        with pytest.raises(BadSample, match=r"says the header"):
            ask(str(path))


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "empty file"),
        (b"no sound " * 99, "text, not a sound: 'no sound"),
        (bytes(range(256)) * 9, "Invalid data"),
        (b"\xff\xfb\x90\x64" + bytes(5), "Invalid data|decoded"),
        (b"fLaC" + bytes(100), "Invalid data|decoded"),
    ],
)
def test_what_is_no_sound_is_refused_in_words(tmp_path, content, reason):
    path = tmp_path / "a.mp3"
    path.write_bytes(content)
    for ask in (facts, lambda path: read(path, 16000)):
        with pytest.raises(BadSample, match=reason):
            ask(str(path))


def test_pipes_playlists_and_folders_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    for path in (tmp_path, tmp_path / "pipe.wav"):
        with pytest.raises(BadSample, match="not a file"):
            read(str(path), 16000)
    with pytest.raises(BadSample, match="No such file"):
        facts(str(tmp_path / "none.wav"))
    (tmp_path / "list.m4a").write_text("#EXTM3U\n#EXTINF:1,\nhttp://localhost:1/a.aac\n")
    with pytest.raises(BadSample, match="text, not a sound"):
        read(str(tmp_path / "list.m4a"), 16000)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.aac", "a.mkv", "a.ts"])
def test_what_is_cut_off_gives_what_there_is(tmp_path, name):
    path = Path(written.every(tmp_path, 6.0, [name])[0])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert 2 < len(read(str(path), 16000)) / 16000 < 4
    path.write_bytes(content[:30])
    with pytest.raises(BadSample):
        read(str(path), 16000)


def test_a_broken_middle_costs_the_middle(tmp_path):
    for name in ("a.flac", "a.ogg", "a.m4a", "a.mkv", "a.opus", "a.aac"):
        path = Path(written.every(tmp_path, 4.0, [name])[0])
        there, content = read(str(path), 16000), bytearray(path.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 60] = random.Random(0).randbytes(60)
        path.write_bytes(content)
        here = read(str(path), 16000)
        assert len(here) == len(there), name
        torch.testing.assert_close(here[-8000:-400], there[-8000:-400], atol=0.02, rtol=0)


def mutated(content, chance):
    """A file with some bytes flipped, cut out, put in or cut off, more often near its start."""
    content = bytearray(content)
    for _ in range(chance.choice((1, 2, 8))):
        place = chance.randrange(max(1, min(len(content), chance.choice((400, 10**6)))))
        kind = chance.randrange(5)
        if kind == 0:
            content[place : place + 1] = chance.randbytes(1)
        elif kind == 1:
            content[place : place + 4] = chance.choice((bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff"))
        elif kind == 2:
            del content[place : place + chance.choice((1, 4, 500))]
        elif kind == 3:
            content[place:place] = chance.randbytes(chance.choice((1, 4, 500)))
        else:
            del content[max(place, 8) :]
    return bytes(content)


def test_mutations_are_read_or_refused(tmp_path):
    chance, paths = random.Random(0), []
    for original in written.every(tmp_path, 0.3):
        for number in range(6):
            paths.append(tmp_path / f"{number}-{os.path.basename(original)}")
            paths[-1].write_bytes(mutated(Path(original).read_bytes(), chance))
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *paths], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    answers = done.stdout.split()
    assert len(answers) == len(paths) and min(map(answers.count, ("read", "refused"))) > 20
    assert not done.stderr  # not a word of what decoders think of it


def test_memory_stays_flat(tmp_path):
    paths = written.every(tmp_path, 0.2, ["a.wav", "a.m4a", "a.mp3", "a.flac"])

    def grown(times):
        for number in range(times):
            read(paths[number % 4], 16000, 0.05, 0.1)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, len(
            os.listdir("/proc/self/fd")
        )

    before, after = grown(400), grown(1600)
    assert after[0] - before[0] < 5 and after[1] == before[1]
