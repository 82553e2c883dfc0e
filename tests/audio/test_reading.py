import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torchaudio.functional import resample

sys.path.insert(0, str(Path(__file__).parent))
import written  # noqa: E402

from maskedae.data import BadSample  # noqa: E402
from maskedae.datasets.audio import reading, resampling, sound, with_soundfile  # noqa: E402
from maskedae.datasets.audio.kinds import CONTAINERS, EXTENSIONS, sniff  # noqa: E402
from maskedae.datasets.audio.reading import facts, opened, read, seconds_of  # noqa: E402

# By how much a window may differ from what the whole sound holds there: codecs whose decoders
# remember what came before, or fill bands with noise as they like.
AAC = {name: 0.01 for name, codec in written.FORMATS.items() if codec == "aac"}
REMEMBERING = {**AAC, "a.ac3": 0.02}
LOSSLESS = {name for name, codec in written.FORMATS.items() if codec in ("flac", "pcm_s16le")} | {
    "a.wav",
    "b24.wav",
    "b32.wav",
    "float.wav",
    "double.wav",
    "a.aiff",
    "a.w64",
    "a.caf",
    "a.flac",
}
# Formats that do not say by how much their encoders make a sound start late, or early.
SHIFTED = {"a.aac", "a.ts", "a.flv", "a.avi", "a.ac3", "a.wma"}


@pytest.fixture(scope="module")
def formats(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    paths = written.every(folder, 2.5)
    return dict(zip(written.FORMATS, paths, strict=True))


@pytest.mark.parametrize("name", written.FORMATS)
def test_every_format_is_read(formats, name):
    found, here = facts(formats[name]), read(formats[name], 48000)
    original = written.tones(2.5, found.rate)[:, : found.channels].mean(1)
    assert found.channels == (1 if name == "gsm.wav" else 2)
    assert found.seconds == pytest.approx(2.5, abs=0.07)
    assert len(here) == pytest.approx(2.5 * 48000, abs=0.07 * 48000)
    assert here.dtype == torch.float32
    here = read(formats[name], found.rate).numpy()
    lag = delay(here, original)
    assert abs(lag) < 0.06 * found.rate if name in SHIFTED else lag == 0
    count = len(original) - 10000
    error = here[5000 + lag : 5000 + lag + count] - original[5000 : 5000 + count]
    assert np.sqrt(np.square(error).mean()) < (4e-5 if name in LOSSLESS else 0.05)


def delay(here, there):
    """By how many samples one sound lags behind another, by correlation."""
    size = len(here) + len(there)
    product = np.fft.rfft(here, size) * np.fft.rfft(there, size).conj()
    lag = int(np.fft.irfft(product, size).argmax())
    return lag - size * (lag > size // 2)


@pytest.mark.parametrize("name", written.FORMATS)
def test_a_window_is_a_part_of_the_whole(formats, name):
    for rate in (16000, 22050, facts(formats[name]).rate):
        whole = read(formats[name], rate)
        for start, seconds in ((0.0, 0.1), (0.013, 0.5), (1.7, 0.3), (2.3, 9.0)):
            window = read(formats[name], rate, start, seconds)
            first = round(start * rate)
            torch.testing.assert_close(
                window,
                whole[first : first + round(seconds * rate)],
                atol=REMEMBERING.get(name, 1e-6),
                rtol=0,
            )


def test_vorbis_in_matroska_is_in_place_to_a_millisecond(tmp_path):
    path = tmp_path / "a.mkv"
    noise = np.random.default_rng(0).normal(0, 0.1, (4 * 44100, 1)).astype(np.float32)
    with av.open(str(path), "w") as container:
        source = av.open(written.write(tmp_path / "a.ogg", noise))
        stream = container.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    whole, window = read(str(path), 44100), read(str(path), 44100, 3.0, 0.5)
    pieces = whole[3 * 44100 - 44 : 3 * 44100 + 44 + len(window)].unfold(0, len(window), 1)
    assert (pieces - window).abs().amax(1).min() < 1e-5


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.mp3", "a.m4a", "a.mkv", "a.webm"])
def test_of_a_long_file_little_is_decoded(tmp_path, name):
    rate = 48000 if name == "a.webm" else written.RATE
    path = written.write(
        tmp_path / name, written.tones(60, rate)[:, :1], rate, written.FORMATS[name]
    )
    with opened(path) as long:
        assert sum(map(len, long.pieces(55 * rate, 56 * rate))) == rate
        assert long.good < 60 * rate / 960 / 6  # Matroska is sought every five seconds


def test_beyond_the_end_there_is_less_and_then_nothing(formats):
    for name in ("a.wav", "a.mp3", "a.m4a"):
        assert len(read(formats[name], 16000, 2.25, 10.0)) == pytest.approx(4000, abs=1200)
        with pytest.raises(BadSample, match=r"no sound from 60 s on"):
            read(formats[name], 16000, 60.0, 1.0)
    with pytest.raises(ValueError, match="none"):
        read(formats["a.wav"], 16000, 0.0, 0.0)
    with pytest.raises(ValueError, match="none"):
        read(formats["a.wav"], 16000, -1.0)


def test_the_left_channel_is_not_the_mean(tmp_path):
    samples = written.tones(0.5, 16000, (300.0, 400, 500, 600, 700, 800))
    for name, codec in (("a.wav", "FLOAT"), ("a.flac", "PCM_16"), ("a.mkv", "flac")):
        path = written.write(tmp_path / name, samples, 16000, codec)
        mean, left = read(path, 16000).numpy(), read(path, 16000, channel="left").numpy()
        np.testing.assert_allclose(mean, samples.mean(1), atol=1e-4)
        np.testing.assert_allclose(left, samples[:, 0], atol=1e-4)


def test_floats_beyond_full_scale_stay(tmp_path):
    path = written.write(tmp_path / "a.wav", 60 * written.tones(0.1), codec="FLOAT")
    assert read(path, written.RATE, channel="left").max() == pytest.approx(30, abs=0.01)


@pytest.mark.parametrize(
    "source, target",
    [(44100, 16000), (8000, 16000), (48000, 16000), (96000, 16000), (11025, 16000)]
    + [(16000, 44100), (44056, 16000), (101, 16000), (768000, 16000)],
)
def test_rates_are_changed_as_by_torchaudio(tmp_path, monkeypatch, source, target):
    noise = np.random.default_rng(0).normal(0, 0.1, (source + source // 3, 1)).astype(np.float32)
    path = written.write(tmp_path / "a.wav", noise, source, "FLOAT")
    there = resample(torch.from_numpy(noise[:, 0]).double(), source, target).float()
    torch.testing.assert_close(read(path, target), there, atol=5e-7, rtol=0)
    monkeypatch.setattr(with_soundfile, "BLOCK", 999)  # however the sound is taken to pieces
    monkeypatch.setattr(resampling, "BLOCK", 2000)
    torch.testing.assert_close(read(path, target), there, atol=5e-7, rtol=0)
    monkeypatch.setattr(resampling, "TABLE", 0)  # without torchaudio
    assert len(read(path, target, 0.5, 0.25)) == target // 4
    window = there[target // 2 : target // 2 + target // 4]
    torch.testing.assert_close(read(path, target, 0.5, 0.25), window, atol=1e-5, rtol=0)


def test_filters_are_small_and_made_once():
    for rate in (44099, 44056, 999, 767_999):
        odd = resampling.resampler(rate, 16000)
        assert len(odd(np.zeros(rate, np.float32))) == 16000
        assert odd._weights.nbytes < 2**27
        assert odd is resampling.resampler(rate, 16000)
        assert "_filter" not in vars(odd)


@pytest.mark.parametrize("suffix, slack", [(".mp4", 1100), (".mkv", 1100), (".mov", 1100)])
def test_a_track_that_starts_late_starts_late(tmp_path, suffix, slack):
    samples = np.random.default_rng(0).normal(0, 0.2, (written.RATE, 1)).astype(np.float32)
    path = written.film(tmp_path / f"late{suffix}", samples, late=0.5, seconds=2.0)
    heard = read(path, written.RATE)
    loud = np.flatnonzero(np.abs(heard.numpy()) > 0.02)
    assert loud[0] == pytest.approx(0.5 * written.RATE, abs=slack)
    assert loud[-1] == pytest.approx(1.5 * written.RATE, abs=2 * slack)
    assert facts(path).seconds == pytest.approx(len(heard) / written.RATE, abs=0.05)
    assert not read(path, 16000, 0.0, 0.4).any() and len(read(path, 16000, 0.0, 0.4)) == 6400
    torch.testing.assert_close(read(path, written.RATE, 0.3, 0.5), heard[13230:35280])


def test_what_is_heard_before_the_first_picture_is_cut(tmp_path):
    samples = written.tones(2.0)
    path = written.film(tmp_path / "film.mkv", samples, codec="flac", pictures_late=0.5)
    here = read(path, written.RATE, channel="left").numpy()
    np.testing.assert_allclose(here, samples[written.RATE // 2 :, 0], atol=1e-3)


def test_what_is_lost_leaves_a_gap(tmp_path):
    samples = written.tones(3.0)
    whole, holey = tmp_path / "whole.mkv", tmp_path / "holey.mkv"
    written.write(whole, samples, codec="flac")
    with av.open(str(whole)) as source, av.open(str(holey), "w") as container:
        stream = container.add_stream_from_template(source.streams.audio[0])
        for number, packet in enumerate(source.demux()):
            if packet.dts is not None and not 8 <= number < 12:
                packet.stream = stream
                container.mux(packet)
    there, here = read(str(whole), written.RATE), read(str(holey), written.RATE)
    assert len(here) == pytest.approx(len(there), abs=45)
    lost = (here[: len(there)] != there[: len(here)]).nonzero().flatten()
    first, last = int(lost[0]), int(lost[-1])
    assert 0.05 * written.RATE < last - first < 0.5 * written.RATE
    assert not here[first : last + 1].any()


def test_names_and_first_bytes(formats):
    assert {".wav", ".mp3", ".m4a", ".ogg"} < EXTENSIONS and not EXTENSIONS & CONTAINERS
    assert {".mp4", ".mkv", ".webm"} < CONTAINERS and ".gif" not in CONTAINERS
    films = (".mkv", ".mov", ".avi", ".ts", ".flv", ".mp4", ".webm", ".wma", ".ac3")
    for name, path in formats.items():
        head = Path(path).read_bytes()[:64]
        assert sniff(head) != name.endswith(films), name
    for head in (b"", b"\xff", b"\xff\xd8\xff\xe0", b"\xff\xfeT\0e\0x\0", b"RIFF____WEBP", b"text"):
        assert not sniff(head)


def test_content_counts_and_not_the_name(formats, tmp_path):
    for name, other in (
        ("a.mp3", "a.wav"),
        ("a.m4a", "a.mp3"),
        ("a.wav", "a.flac"),
        ("a.ogg", "a"),
    ):
        path = tmp_path / other
        path.write_bytes(Path(formats[name]).read_bytes())
        assert torch.equal(read(str(path), 16000), read(formats[name], 16000))


@pytest.mark.parametrize("name", ["a:b.wav", "100%d ä.m4a", "line\nbreak.mp3", "-.flac"])
def test_odd_names(formats, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(Path(formats["a" + path.suffix]).read_bytes())
    assert len(read(str(path), 16000))


def test_pieces_are_bounded(formats):
    for name in ("a.wav", "a.mp3"):
        with opened(formats[name]) as one:
            assert max(map(len, one.pieces(0, sound.END))) <= sound.BLOCK
    assert reading.SLOWEST < 8000 < reading.FASTEST


def test_lengths_are_measured_once_for_every_change_of_a_file(formats, tmp_path, monkeypatch):
    path, asked = tmp_path / "a.mp3", list[str]()
    with pytest.raises(BadSample):
        seconds_of(str(path))
    monkeypatch.setattr(reading, "facts", lambda path: asked.append(path) or facts(path))
    for name in ("a.mp3", "a.wav"):
        path.write_bytes(Path(formats[name]).read_bytes())
        expected = facts(str(path)).seconds
        assert [seconds_of(str(path)) for _ in range(3)] == [expected] * 3
    assert len(asked) == 2
