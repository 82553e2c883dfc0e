import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
import numbered  # noqa: E402

from maskedae.data import BadSample  # noqa: E402
from maskedae.datasets.films.moments import Moments  # noqa: E402
from maskedae.datasets.films.reader import Reader  # noqa: E402
from maskedae.datasets.films.reading import Order, read_clips  # noqa: E402


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return numbered.write(tmp_path_factory.mktemp("films") / "film.mp4", frames=100, g=12, bf=3)


@pytest.fixture
def reader():
    reader = Reader()
    yield reader
    reader.close()


def test_clips_share_the_frames_they_have_in_common(reader, film):
    chances = np.random.default_rng(0).random((4, 8))
    found = reader.read(film, Moments(8, stride=3), chances, short_side=38)
    assert found.pixels.shape[1:] == (38, 63, 3)
    shown = np.array(numbered.numbers(found.pixels))
    assert len(set(shown)) == len(shown) < 32
    clips = shown[found.clips]
    assert (np.diff(clips) == 3).all()
    here = read_clips(Order(film, Moments(8, stride=3), chances, short_side=38))
    assert all(np.array_equal(a, b) for a, b in zip(here, found, strict=True))


def test_views_and_windows(reader, film):
    found = reader.read(film, Moments(4, stride=2), views=3, window=(1.0, 2.0))
    shown = np.array(numbered.numbers(found.pixels))[found.clips]
    assert shown.tolist() == [[25, 27, 29, 31], [34, 36, 38, 40], [43, 45, 47, 49]]
    assert found.pixels.shape[1:3] == (48, 80)


def test_nothing_is_enlarged(reader, film):
    assert reader.read(film, Moments(2), short_side=500).pixels.shape[1:3] == (48, 80)


def test_facts(reader, film):
    facts = reader.facts(film)
    assert (facts.codec, facts.pixels, facts.size) == ("h264", "yuv420p", (48, 80))
    assert (facts.frames, facts.rate, facts.seconds) == (100, 25, pytest.approx(4))
    assert facts.steady and not facts.sound


def test_folders_have_the_rate_that_is_given(tmp_path):
    for number in range(20):
        Image.fromarray(numbered.picture(number)).save(tmp_path / f"{number}.png")
    reader = pickle.loads(pickle.dumps(Reader(frame_rate=10.0)))
    facts = reader.facts(str(tmp_path))
    assert (facts.rate, facts.seconds) == (10, pytest.approx(2))
    found = reader.read(str(tmp_path), Moments(4, interval=0.4), window=(0.2, 2.0))
    assert numbered.numbers(found.pixels) == [4, 8, 12, 16]
    reader.close()
    with pytest.raises(ValueError, match="frame rate"):
        Reader(frame_rate=0.0)


def test_a_dead_process_is_replaced(reader, film):
    reader.facts(film)
    reader.child.process.kill()
    reader.child.process.wait()
    assert reader.facts(film).frames == 100


def test_bad_films_say_why(reader, tmp_path):
    (tmp_path / "film.mp4").write_bytes(b"")
    with pytest.raises(BadSample, match="empty file"):
        reader.read(str(tmp_path / "film.mp4"), Moments(4))
    with pytest.raises(BadSample, match="No such file"):
        reader.facts(str(tmp_path / "none.mp4"))


def test_it_can_be_pickled(reader, film):
    reader.facts(film)
    copy = pickle.loads(pickle.dumps(reader))
    assert copy.facts(film).frames == 100
    assert copy.child.process.pid != reader.child.process.pid
    copy.close()
