import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
import numbered  # noqa: E402

from maskedae.data import BadSample  # noqa: E402
from maskedae.datasets.films.facts import inspect  # noqa: E402
from maskedae.datasets.films.reader import Reader  # noqa: E402

BAD = Path(__file__).parents[3] / "shared" / "data" / "bad_inputs"
needs_data = pytest.mark.skipif(not BAD.is_dir(), reason=f"no test data at {BAD}")


def rows():
    if not BAD.is_dir():
        return []
    with open(BAD / "manifest.csv", encoding="utf-8", newline="") as file:
        found = [(row["file"], row["expected"]) for row in csv.DictReader(file)]
    return [row for row in found if row[0].startswith("video/")]


def test_a_film_is_described(tmp_path):
    report = inspect(numbered.write(tmp_path / "film.mkv", g=12))
    assert report == {
        "kind": "film",
        "container": "matroska",
        "codec": "h264",
        "pixels": "yuv420p",
        "size": [80, 48],
        "frames": 60,
        "seconds": 2.4,
        "rate": 25.0,
        "sound": "none",
        "warnings": [],
    }


@pytest.mark.parametrize(
    "options, warning",
    [
        ({"turns": 1}, "rotated by 90 degrees"),
        ({"frames": 5}, "fewer than 16 frames: 5"),
        ({"stamps": [40 * n + 300 * (n > 30) for n in range(60)]}, "variable frame rate"),
    ],
)
def test_what_may_surprise_is_said(tmp_path, options, warning):
    assert inspect(numbered.write(tmp_path / "film.mp4", **options))["warnings"] == [warning]


def test_frames_that_are_broken_are_counted(tmp_path):
    path = Path(numbered.write(tmp_path / "film.avi", codec="mpeg4", g=12, bf=0))
    content = bytearray(path.read_bytes())
    place = content.index(b"movi") + 1200
    content[place : place + 900] = bytes(900)
    path.write_bytes(content)
    assert any("frames" in warning for warning in inspect(str(path))["warnings"])


def test_folders_are_films(tmp_path):
    for number in range(20):
        Image.fromarray(numbered.picture(number)).save(tmp_path / f"{number}.png")
    report = inspect(str(tmp_path))
    assert (report["container"], report["codec"], report["frames"]) == ("folder", "png", 20)
    assert report["warnings"] == []


def test_sums_are_those_of_the_pixels(tmp_path):
    path = numbered.write(tmp_path / "film.mp4", frames=8)
    count, total, squares = np.array(inspect(path, sums=True)["sums"])
    pixels = np.stack([numbered.picture(number) for number in range(8)]) / 255
    assert count.tolist() == [8 * 48 * 80] * 3
    np.testing.assert_allclose(total / count, pixels.mean((0, 1, 2)), atol=0.02)
    np.testing.assert_allclose(squares / count, (pixels**2).mean((0, 1, 2)), atol=0.02)


@needs_data
@pytest.mark.parametrize("name, expected", rows())
def test_bad_inputs_are_reported_as_listed(name, expected):
    if expected in ("fail", "reject"):
        with pytest.raises(BadSample, match=r"empty|moov|text|audio only"):
            inspect(str(BAD / name), sums=True)
        return
    report = inspect(str(BAD / name), sums=True)
    assert report["frames"] > 0 and report["sums"][0][0] > 0
    if expected == "ok_partial":
        assert "cut off: 29 of 52 frames are gone" in report["warnings"]


@needs_data
def test_the_process_for_films_says_the_same():
    reader = Reader()
    for name in ("no_duration.webm", "rotate90_3frames.mov", "audio_8k.mp4"):
        path = str(BAD / "video" / name)
        facts, report = reader.facts(path), inspect(path)
        assert (facts.sound or "none") == report["sound"]
        assert (facts.frames, facts.codec) == (report["frames"], report["codec"])
    reader.close()
