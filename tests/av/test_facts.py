"""What the doctor says of films with their sound."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "audio"))
import written  # noqa: E402

from maskedae.data import BadSample  # noqa: E402
from maskedae.datasets import sounds  # noqa: E402
from maskedae.datasets.audio_video import inspect  # noqa: E402
from maskedae.doctor.checkup import Checkup  # noqa: E402
from maskedae.doctor.inspection import Inspector, choose  # noqa: E402


def test_both_and_how_they_lie(tmp_path):
    path = written.film(tmp_path / "a.mp4", written.tones(0.4), late=0.3, seconds=1.5)
    found = inspect(path)
    assert found["kind"] == "film with sound" and found["frames"] == 15
    assert (found["sound rate"], found["channels"], found["rate"]) == (44100, 2, 10.0)
    assert found["sound starts"] == pytest.approx(0.3, abs=0.03)
    assert found["sound seconds"] == pytest.approx(0.7, abs=0.05)
    warnings = "; ".join(found["warnings"])
    assert "sound starts 0.3 s after the pictures" in warnings
    assert "sound ends 0.8 s before the pictures" in warnings
    alone = sounds.inspect(path, sums=True, mels=32)
    np.testing.assert_array_equal(inspect(path, sums=True, mels=32)["sums"], alone["sums"])


def test_what_lacks_either(tmp_path):
    silent = inspect(written.film(tmp_path / "a.mp4", None))
    assert silent["kind"] == "film without sound" and "no sound" in silent["warnings"]
    for name in ("b.mp4", "c.wav"):
        alone = inspect(written.write(tmp_path / name, written.tones()))
        assert alone["kind"] == "sound without pictures" and "no pictures" in alone["warnings"]
    (tmp_path / "d.mp4").write_text("hello")
    with pytest.raises(BadSample, match="text, not a film"):
        inspect(str(tmp_path / "d.mp4"))


def test_films_are_asked_of_others_where_all_kinds_are(tmp_path):
    film = written.film(tmp_path / "a.mp4", written.tones(0.5))
    bare = (tmp_path / "b").with_suffix("")
    bare.write_bytes(Path(film).read_bytes())
    for kind, name in ((None, "film"), ("audio_video", "film with sound")):
        inspector = Inspector(choose(kind))
        assert {inspector(str(path))["kind"] for path in (film, bare)} == {name}
    assert choose(None).index("audio_video") > choose(None).index("videos")


def test_every_file_of_a_list_is_looked_at(tmp_path):
    written.film(tmp_path / "a.mp4", None)
    written.write(tmp_path / "a.wav", written.tones(0.5))
    (tmp_path / "list.csv").write_text("video,audio,label\na.mp4,a.wav,x\na.mp4,,y\n")
    checkup = Checkup(str(tmp_path / "list.csv"), Inspector(("audio_video",)))
    assert [Path(path).name for path in checkup.paths] == ["a.mp4", "a.wav", "a.mp4"]
