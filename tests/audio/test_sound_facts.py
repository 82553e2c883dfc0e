import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import written  # noqa: E402

from maskedae.data import BadSample  # noqa: E402
from maskedae.datasets.audio import facts as module  # noqa: E402
from maskedae.datasets.audio.fbank import Fbank  # noqa: E402
from maskedae.datasets.audio.reading import read  # noqa: E402
from maskedae.datasets.sounds import inspect  # noqa: E402

BAD = Path(__file__).parents[3] / "shared" / "data" / "bad_inputs"


def rows():
    if not BAD.is_dir():
        return []
    with open(BAD / "manifest.csv", encoding="utf-8", newline="") as file:
        found = [(row["file"], row["expected"]) for row in csv.DictReader(file)]
    return [row for row in found if row[0].startswith("audio/")]


def test_a_sound_is_described(tmp_path):
    path = written.write(tmp_path / "a.flac", written.tones(1.5))
    assert inspect(path) == {
        "kind": "sound",
        "container": "flac",
        "codec": "flac",
        "bits": "16",
        "rate": 44100,
        "channels": 2,
        "seconds": 1.5,
        "warnings": [],
    }
    report = inspect(written.write(tmp_path / "a.m4a", written.tones(1.5)))
    assert (report["container"], report["codec"], report["bits"]) == ("mov", "aac", "none")


@pytest.mark.parametrize("name", written.FORMATS)
def test_of_a_good_sound_there_is_nothing_to_say(tmp_path, name):
    report = inspect(written.every(tmp_path, 2.0, [name])[0])
    assert report["warnings"] == [] and report["seconds"] == pytest.approx(2.0, abs=0.07)


def change(samples, how):
    if how == "silent":
        return 0 * samples
    if how == "constant":
        return 0 * samples + 0.25
    if how == "clipped":
        return np.clip(4 * samples, -1, 1)
    if how == "loud":
        return 60 * samples
    if how == "cancels":
        return np.stack([samples[:, 0], -samples[:, 0]], 1)
    if how == "short":
        return samples[:100]
    samples[:100] = np.nan
    return samples


@pytest.mark.parametrize(
    "how, warnings",
    [
        ("silent", ["silent throughout"]),
        ("constant", ["constant throughout: 0.25"]),
        ("clipped", ["clipped: 67% of the samples are at full scale"]),
        ("loud", ["samples of up to 30, where full scale is 1"]),
        (
            "cancels",
            ["channels cancel each other out in their mean; data.channel=left is not silent"],
        ),
        ("short", ["shorter than 25 ms: 12.5 ms"]),
        ("broken", ["200 samples are not numbers"]),
    ],
)
def test_what_may_surprise_is_said(tmp_path, how, warnings):
    samples = change(written.tones(1.0, 8000), how)
    assert (
        inspect(written.write(tmp_path / "a.wav", samples, 8000, "FLOAT"))["warnings"] == warnings
    )


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.flac", "a.mp4"])
def test_what_is_cut_off_says_so(tmp_path, name):
    path = Path(written.every(tmp_path, 2.0, [name])[0])
    if name == "a.mp4":  # its index lies at the end
        import av

        with (
            av.open(str(path)) as source,
            av.open(
                str(tmp_path / "front.mp4"), "w", options={"movflags": "faststart"}
            ) as container,
        ):
            stream = container.add_stream_from_template(source.streams.audio[0])
            for packet in source.demux():
                if packet.dts is not None:
                    packet.stream = stream
                    container.mux(packet)
        path = tmp_path / "front.mp4"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    warnings = inspect(str(path))["warnings"]
    assert any(text.startswith("cut off: ") and "of 2.0 seconds" in text for text in warnings)


def test_broken_packets_are_counted(tmp_path):
    path = Path(written.every(tmp_path, 2.0, ["a.m4a"])[0])
    content = bytearray(path.read_bytes())
    content[9000:9400] = bytes(range(100)) * 4
    path.write_bytes(content)
    assert any("packets cannot be decoded" in text for text in inspect(str(path))["warnings"])


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.mp4"])
def test_sums_are_those_of_the_features(tmp_path, monkeypatch, name):
    path = written.every(tmp_path, 2.0, [name])[0]
    features = Fbank()(read(path, 16000)).double()
    there = [[features.numel()], [features.sum().item()], [features.square().sum().item()]]
    for size in (module.CHUNK, 9999):  # however the sound is taken to pieces
        monkeypatch.setattr(module, "CHUNK", size)
        here = inspect(path, sums=True)["sums"]
        assert here[0] == there[0]
        np.testing.assert_allclose(here, there, rtol=1e-5)
    assert inspect(path, sums=True)["seconds"] == inspect(path)["seconds"]


def test_too_short_a_sound_adds_nothing(tmp_path):
    path = written.write(tmp_path / "a.wav", written.tones(0.01))
    assert inspect(path, sums=True)["sums"] == [[0.0], [0.0], [0.0]]


def test_what_is_reported_is_what_is_read(tmp_path):
    path = written.film(tmp_path / "film.mkv", written.tones(1.0), late=0.5, seconds=1.0)
    assert inspect(path)["seconds"] == pytest.approx(len(read(path, 16000)) / 16000, abs=1e-3)


@pytest.mark.parametrize("name, expected", rows())
def test_bad_inputs_are_reported_as_listed(shared, name, expected):
    path = str(shared / "bad_inputs" / name)
    if expected in ("fail", "reject") or "rate_1hz" in name:
        with pytest.raises(BadSample):
            inspect(path, sums=True)
        return
    report = inspect(path, sums=True)
    said = " ".join(report["warnings"])
    words = {
        "silent": "silent throughout",
        "antiphase": "cancel",
        "dc_offset": "constant throughout: 0.7",
        "nan_float": "100 samples are not numbers",
        "inf_float": "samples are not numbers",
        "over_range": "up to 30",
        "clipped": "clipped",
        "10ms": "shorter than 25 ms: 10 ms",
        "one_sample": "shorter than 25 ms",
        "huge_claim": "cut off",
        "truncated.wav": "cut off: 1.3 of 2.0 seconds are gone",
    }
    expected_words = [text for part, text in words.items() if part in name]
    assert all(text in said for text in expected_words) and bool(said) == bool(expected_words), said
    assert torch.tensor(report["sums"]).isfinite().all()
