import csv
import os
import sys
from pathlib import Path

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
import numbered  # noqa: E402

from maskedae.datasets.films.film import Refused  # noqa: E402
from maskedae.datasets.films.films import ORDER, open_film  # noqa: E402
from maskedae.datasets.films.moments import Moments  # noqa: E402
from maskedae.datasets.films.reading import WORTH, Order, read_clips  # noqa: E402

BAD = Path(__file__).parents[3] / "shared" / "data" / "bad_inputs"
JPEG = b"\xff\xd8\xff"  # how a picture begins
needs_data = pytest.mark.skipif(not BAD.is_dir(), reason=f"no test data at {BAD}")


@pytest.fixture(params=ORDER)
def decoder(request):
    return numbered.loadable(request.param)


def test_folders_of_stills_are_films_in_the_order_of_their_numbers(tmp_path):
    for number in (*range(9, 12), 2):
        Image.fromarray(numbered.picture(number)).save(tmp_path / f"img_{number}.png")
    (tmp_path / "img_10.png").write_bytes(b"no picture")
    film = open_film(str(tmp_path))
    assert numbered.numbers(film.frames([0, 1, 3], (30, 50))) == [2, 9, 11]
    assert numbered.numbers(film.frames([1, 2])) == [9, 9]  # the last good one
    assert film.lost == 1 and film.rate == 30
    (tmp_path / "none").mkdir()
    with pytest.raises(Refused, match="without pictures"):
        open_film(str(tmp_path / "none"))


def test_folders_have_the_rate_that_is_given(tmp_path):
    for number in range(20):
        Image.fromarray(numbered.picture(number)).save(tmp_path / f"{number}.png")
    film = open_film(str(tmp_path), frame_rate=10.0)
    assert film.rate == 10 and film.times[-1] == pytest.approx(1.9)
    order = Order(str(tmp_path), Moments(4, interval=0.4), frame_rate=10.0, window=(0.2, 2.0))
    assert numbered.numbers(read_clips(order).pixels) == [4, 8, 12, 16]


def test_what_is_mostly_lost_is_refused(tmp_path):
    path = Path(numbered.write(tmp_path / "film.avi", "mjpeg", 40, pixels="yuvj420p"))
    content = bytearray(path.read_bytes())
    places = [place for place in range(len(content)) if content[place : place + 3] == JPEG]
    assert len(places) == 40
    for count, clips in ((20, (1, 40)), (21, None), (37, None), (40, None)):
        for start in places[-count:]:
            content[start : start + 230] = bytes(230)
        path.write_bytes(content)
        order = Order(str(path), Moments(40, stride=1), decoder="pyav")
        if clips:
            assert read_clips(order).clips.shape == clips
            continue
        with pytest.raises(Refused, match=f"{count} of 40 frames cannot|no frame can"):
            read_clips(order)


def rows():
    if not BAD.is_dir():
        return []
    with open(BAD / "manifest.csv", encoding="utf-8", newline="") as file:
        return [
            (row["file"], row["expected"])
            for row in csv.DictReader(file)
            if row["file"].startswith("video/")
        ]


@needs_data
@pytest.mark.parametrize("name, expected", rows())
def test_bad_inputs_are_read_or_refused_as_listed(decoder, name, expected):
    order = Order(str(BAD / name), Moments(16), short_side=64, decoder=decoder)
    if expected in ("fail", "reject"):
        with pytest.raises(Refused):
            read_clips(order)
        return
    try:
        found = read_clips(order)
    except Refused:
        assert decoder != "pyav" or expected.startswith("ok_or")
        return
    assert found.clips.shape == (1, 16)
    assert min(found.pixels.shape[1:3]) < 64 * WORTH


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "empty"),
        (b"not a film " * 9, "text, not a film"),
        (bytes(range(256)) * 9, "Invalid data"),
    ],
)
def test_what_is_no_film_is_refused_in_words(tmp_path, content, reason):
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    with pytest.raises(Refused, match=reason):
        open_film(str(path))


def test_what_is_cut_off_says_so(tmp_path):
    path = tmp_path / "cut.mp4"
    path.write_bytes(Path(numbered.make(tmp_path, "b_frames.mp4")).read_bytes()[:2000])
    with pytest.raises(Refused, match="moov"):
        open_film(str(path))


def test_pipes_and_playlists_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(Refused, match="not a file"):
        open_film(str(tmp_path / "pipe.mp4"))
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nhttp://localhost:1/a.ts\n")
    with pytest.raises(Refused):
        open_film(str(tmp_path / "list.mp4"))
