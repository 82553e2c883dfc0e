import sys
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import numbered  # noqa: E402
from numbered import KINDS  # noqa: E402

from maskedae.datasets.films import films, with_pyav  # noqa: E402
from maskedae.datasets.films.film import Refused, Unknown  # noqa: E402
from maskedae.datasets.films.films import ORDER, open_film, sniff  # noqa: E402


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return partial(numbered.make, tmp_path_factory.mktemp("films"))


# What a decoder gets wrong, or cannot open.
REFUSED = {
    "pyav": set(),
    "torchcodec": {"stream.ts", "refreshed.ts", "raw.h264", "mpeg4.avi", "mpeg2.mpg", "motion.avi"},
}
REFUSED["decord"] = REFUSED["torchcodec"] | {"left.mp4", "down.mp4", "right.mp4", "ten_bits.mp4"}
REFUSED["decord"] |= {"open_groups.mp4", "av1.mkv", "palette.gif"}


@pytest.fixture(params=ORDER)
def decoder(request):
    return numbered.loadable(request.param)


@pytest.mark.parametrize("name", list(KINDS))
def test_frames_are_those_asked_for_or_the_film_is_refused(made, decoder, name):
    if name in REFUSED[decoder]:
        with pytest.raises(Refused):
            open_film(made(name), decoder)
        return
    film = open_film(made(name), decoder)
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
    film = open_film(made("unsteady.mp4"), decoder)
    stamps = np.array(KINDS["unsteady.mp4"]["stamps"]) / 1000
    np.testing.assert_allclose(film.times, stamps - stamps[0], atol=1e-3)
    assert film.rate == pytest.approx(59 / (stamps[-1] - stamps[0]), rel=1e-3)


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


def test_what_an_edit_list_hides_is_not_counted(made, decoder, tmp_path, monkeypatch):
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
    if decoder == "decord":  # which counts them
        with pytest.raises(Refused):
            open_film(path, decoder)
        return
    film = open_film(path, decoder)
    assert numbered.numbers(film.frames(range(len(film.times)))) == list(range(10, 60))
    assert numbered.numbers(film.frames([0, 7])) == [10, 17]
    monkeypatch.setattr(with_pyav, "KEPT", 0)
    assert numbered.numbers(open_film(path, decoder).frames([7, 45])) == [17, 55]


def test_open_groups_of_pictures_are_seen(made):
    assert open_film(made("b_frames.mp4"), "pyav").index.closed
    assert not open_film(made("open_groups.mp4"), "pyav").index.closed


def test_the_next_decoder_takes_what_one_does_not_know_and_says_so_once(made, monkeypatch, capfd):
    def refuse(path):
        raise Unknown("for a test")

    openers = {"pyav": refuse, "other": with_pyav.PyAVFilm}
    monkeypatch.setattr(films, "installed", lambda: tuple(openers))
    monkeypatch.setattr(films, "opener", lambda name, _: openers[name])
    for _ in range(2):
        assert len(open_film(made("b_frames.mp4")).times) == 60
    assert capfd.readouterr().err.count("for a test") == 1


def test_a_broken_film_is_not_tried_again(tmp_path, monkeypatch):
    openers = {"pyav": with_pyav.PyAVFilm}
    monkeypatch.setattr(films, "installed", lambda: ("pyav", "other"))
    monkeypatch.setattr(films, "opener", lambda name, _: openers[name])
    (tmp_path / "film.mp4").write_bytes(b"")
    with pytest.raises(Refused, match="empty"):
        open_film(str(tmp_path / "film.mp4"))


def test_names_need_not_be_unicode(tmp_path):
    path = Path(numbered.write(tmp_path / "film.mkv", g=12))
    content = path.read_bytes()
    assert content.count(b"Lavf") > 0
    path.write_bytes(content.replace(b"Lavf", b"L\xe4vf"))
    assert len(open_film(str(path)).times) == 60


@pytest.mark.parametrize("name", sorted(KINDS.keys() - {"raw.h264"}))  # which has no signature
def test_films_are_recognised_by_their_first_bytes(made, name):
    assert sniff(Path(made(name)).read_bytes()[:512])
