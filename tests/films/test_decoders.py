import csv
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
import numbered  # noqa: E402

from maskedae.datasets.films import films, packets, with_pyav  # noqa: E402
from maskedae.datasets.films.film import Refused, Unknown  # noqa: E402
from maskedae.datasets.films.films import open_film, sniff  # noqa: E402
from maskedae.datasets.films.moments import Moments  # noqa: E402
from maskedae.datasets.films.reading import WORTH, Order, read_clips  # noqa: E402

BAD = Path(__file__).parents[3] / "shared" / "data" / "bad_inputs"
JPEG = b"\xff\xd8\xff"  # how a picture begins
needs_data = pytest.mark.skipif(not BAD.is_dir(), reason=f"no test data at {BAD}")
LIBRARIES = {"pyav": "av", "torchcodec": "torchcodec", "decord": "decord"}
KINDS = {
    "b_frames.mp4": {"g": 12, "bf": 3},
    "long_group.mp4": {"g": 250, "bf": 3, "frames": 300},
    "pyramid.mp4": {"g": 48, "bf": 8, "b_pyramid": "normal"},
    "open_groups.mp4": {"g": 12, "bf": 3, "x264_params": "open-gop=1"},
    "unsteady.mp4": {"g": 12, "stamps": np.cumsum([40] * 20 + [200] * 20 + [20] * 20).tolist()},
    "left.mp4": {"turns": 1},
    "down.mp4": {"turns": 2},
    "right.mp4": {"turns": 3},
    "matroska.mkv": {"g": 12, "bf": 3},
    "stream.ts": {"g": 12, "bf": 3},
    "refreshed.ts": {"g": 20, "intra_refresh": 1},
    "raw.h264": {"g": 12, "bf": 3},
    "ten_bits.mp4": {"codec": "libx265", "pixels": "yuv420p10le", "g": 12},
    "mpeg4.avi": {"codec": "mpeg4", "bf": 2, "g": 12},
    "mpeg2.mpg": {"codec": "mpeg2video", "bf": 2, "g": 12},
    "vp8.webm": {"codec": "libvpx", "g": 30, "auto_alt_ref": 1, "lag_in_frames": 16},
    "vp9.webm": {"codec": "libvpx-vp9", "g": 12},
    "av1.mkv": {"codec": "libsvtav1", "g": 12},
    "motion.avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
    "palette.gif": {"codec": "gif", "pixels": "rgb8"},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")

    def make(name):
        path = folder / name
        return str(path) if path.exists() else numbered.write(path, **KINDS[name])

    return make


@pytest.fixture(params=list(LIBRARIES))
def decoder(request):
    if not find_spec(LIBRARIES[request.param]):
        pytest.skip(f"{request.param} is not installed")
    return request.param


def opened(path, decoder):
    """Open a film; that PyAV refuses one that is whole is a mistake."""
    try:
        return open_film(path, decoder)
    except Refused as reason:
        if decoder == "pyav":
            raise
        pytest.skip(f"refused: {reason}")


@pytest.mark.parametrize("name", list(KINDS))
def test_frames_are_those_asked_for(made, decoder, name):
    film = opened(made(name), decoder)
    count = KINDS[name].get("frames", 60)
    assert len(film.times) == count
    assert film.size == (48, 80)
    rng = np.random.default_rng(0)
    for turn in range(20):
        chosen = np.unique(rng.integers(0, count, rng.integers(1, 9))).tolist()
        pixels = film.frames(chosen, (30, 50) if turn % 2 else None)
        assert numbered.numbers(pixels) == chosen
    assert numbered.numbers(film.frames(range(count))) == list(range(count))
    assert film.lost == 0
    film.close()


@pytest.mark.parametrize("name", list(KINDS))
def test_shortcuts_leave_no_trace(made, name):
    film = open_film(made(name), "pyav")
    count = len(film.times)
    whole = film.frames(range(count))
    rng, fills, fill = np.random.default_rng(0), [], film._fill
    film._fill = lambda *args, **more: fills.append(more) or fill(*args, **more)
    for _ in range(10):
        chosen = np.unique(rng.integers(0, count, rng.integers(1, 9))).tolist()
        assert np.array_equal(film.frames(chosen), whole[chosen])
    # Once each time, except where there is no key frame to start from that deserves the name.
    assert (len(fills) > 10) == (name == "refreshed.ts")


def test_times_are_those_of_the_file(made, decoder):
    film = opened(made("unsteady.mp4"), decoder)
    stamps = np.array(KINDS["unsteady.mp4"]["stamps"]) / 1000
    np.testing.assert_allclose(film.times, stamps - stamps[0], atol=1e-3)
    assert film.rate == pytest.approx(59 / (stamps[-1] - stamps[0]), rel=1e-3)


@pytest.mark.parametrize("name", list(KINDS))
def test_large_films_show_the_same(made, name, monkeypatch):
    small = open_film(made(name), "pyav")
    count = len(small.times)
    whole = small.frames(range(count))
    monkeypatch.setattr(with_pyav, "KEPT", 0)
    film = open_film(made(name), "pyav")
    assert film.packets is None
    rng = np.random.default_rng(0)
    for _ in range(10):
        chosen = np.unique(rng.integers(0, count, rng.integers(1, 5))).tolist()
        assert np.array_equal(film.frames(chosen), whole[chosen])
    monkeypatch.setattr(with_pyav, "look", None)  # the second time it is known
    assert np.array_equal(open_film(made(name), "pyav").frames([3, count - 1]), whole[[3, -1]])


SOUGHT = {
    "long.mp4": {"g": 12, "bf": 3},
    "open.mp4": {"g": 12, "bf": 3, "x264_params": "open-gop=1"},
    "ten_bits.mp4": {"codec": "libx265", "pixels": "yuv420p10le", "g": 12},
    "long.mkv": {"g": 12, "bf": 3},
    "long.ts": {"g": 12, "bf": 3},
    "long.avi": {"codec": "mpeg4", "bf": 2, "g": 12},
    "vp9.webm": {"codec": "libvpx-vp9", "g": 12},
    "motion.avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
}


@pytest.mark.parametrize("name", list(SOUGHT))
def test_large_films_are_sought(tmp_path, name, monkeypatch):
    path = numbered.write(tmp_path / name, frames=900, **SOUGHT[name])
    monkeypatch.setattr(with_pyav, "KEPT", 0)
    film, read = open_film(path, "pyav"), []
    demux = with_pyav.demux
    counted = lambda *where: (read.append(packet) or packet for packet in demux(*where))  # noqa: E731
    monkeypatch.setattr(with_pyav, "demux", counted)
    monkeypatch.setattr(packets, "demux", counted)
    for chosen in ([850], [300, 303], [846, 897], [899], [13]):
        read.clear()
        assert numbered.numbers(film.frames(chosen)) == chosen
        assert len(read) <= 4 * 12 + chosen[-1] - chosen[0]
    film.frames([4, 440, 880])
    assert len(read) <= 12 * 12


def test_a_large_film_that_cannot_be_sought_is_read_from_its_start(made, monkeypatch):
    whole = open_film(made("b_frames.mp4"), "pyav").frames(range(60))
    monkeypatch.setattr(with_pyav, "KEPT", 0)
    film = open_film(made("b_frames.mp4"), "pyav")
    film.index.sizes[40] += 1  # the file, as it seems, is another
    assert np.array_equal(film.frames([45]), whole[[45]])
    film.index.sizes[:] = 0
    assert np.array_equal(film.frames([45]), whole[[45]])
    with_pyav.INDICES.clear()


def test_only_what_is_needed_is_decoded(made, monkeypatch):
    film = open_film(made("long_group.mp4"))
    fed = []
    between = film._between
    monkeypatch.setattr(film, "_between", lambda a, b: fed.append((a, b)) or between(a, b))
    film.frames([0, 4])
    assert len(fed) == 1 and fed[0][1] < 12
    film = open_film(made("b_frames.mp4"))
    monkeypatch.setattr(film, "_between", lambda a, b: fed.append((a, b)) or between(a, b))
    film.packets, fed[:] = film.packets, []
    between = type(film)._between.__get__(film)
    film.frames([1, 40])
    assert [a for a, _ in fed] == [0, 36]


def test_what_an_edit_list_hides_is_not_counted(made, decoder, tmp_path):
    path = str(tmp_path / "cut.mp4")
    with (
        av.open(made("b_frames.mp4")) as source,
        av.open(path, "w", container_options={"avoid_negative_ts": "disabled"}) as cut,
    ):
        stream = cut.add_stream_from_template(source.streams.video[0])
        shift = round(10 / 25 / source.streams.video[0].time_base)
        for packet in source.demux(video=0):
            if packet.size:
                packet.pts, packet.dts, packet.stream = (
                    packet.pts - shift,
                    packet.dts - shift,
                    stream,
                )
                cut.mux(packet)
    film = opened(path, decoder)
    assert numbered.numbers(film.frames(range(len(film.times)))) == list(range(10, 60))
    assert numbered.numbers(film.frames([0, 7])) == [10, 17]


def test_open_groups_of_pictures_are_seen(made):
    assert open_film(made("b_frames.mp4"), "pyav").index.closed
    assert not open_film(made("open_groups.mp4"), "pyav").index.closed


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


def test_what_is_cut_off_says_so(made, tmp_path):
    path = tmp_path / "cut.mp4"
    path.write_bytes(Path(made("b_frames.mp4")).read_bytes()[:2000])
    with pytest.raises(Refused, match="moov"):
        open_film(str(path))


def test_pipes_and_playlists_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(Refused, match="not a file"):
        open_film(str(tmp_path / "pipe.mp4"))
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nhttp://localhost:1/a.ts\n")
    with pytest.raises(Refused):
        open_film(str(tmp_path / "list.mp4"))


def test_the_next_decoder_takes_what_one_does_not_know_and_says_so_once(made, monkeypatch, capfd):
    def refuse(path):
        raise Unknown("for a test")

    openers = {"pyav": refuse, "other": with_pyav.PyAVFilm}
    monkeypatch.setattr(films, "installed", lambda: tuple(openers))
    monkeypatch.setattr(films, "opener", openers.get)
    for _ in range(2):
        assert len(open_film(made("b_frames.mp4")).times) == 60
    assert capfd.readouterr().err.count("for a test") == 1


def test_a_broken_film_is_not_tried_again(tmp_path, monkeypatch):
    openers = {"pyav": with_pyav.PyAVFilm}
    monkeypatch.setattr(films, "installed", lambda: ("pyav", "other"))
    monkeypatch.setattr(films, "opener", openers.__getitem__)
    (tmp_path / "film.mp4").write_bytes(b"")
    with pytest.raises(Refused, match="empty"):
        open_film(str(tmp_path / "film.mp4"))


def test_names_need_not_be_unicode(tmp_path):
    path = Path(numbered.write(tmp_path / "film.mkv", g=12))
    content = path.read_bytes()
    assert content.count(b"Lavf") > 0
    path.write_bytes(content.replace(b"Lavf", b"L\xe4vf"))
    assert len(open_film(str(path)).times) == 60


@pytest.mark.parametrize("name", list(KINDS))
def test_films_are_recognised_by_their_first_bytes(made, name):
    if name.endswith(".h264"):
        pytest.skip("a stream without a container has no signature")
    assert sniff(Path(made(name)).read_bytes()[:512])
