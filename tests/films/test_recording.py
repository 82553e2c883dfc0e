"""What is read of a film by one opening: clips, and the sound around them by time stamps."""

import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch.testing import assert_close

sys.path.insert(0, str(Path(__file__).parents[1] / "audio"))
import written  # noqa: E402

from maskedae.data import BadSample  # noqa: E402
from maskedae.datasets.audio.reading import read  # noqa: E402
from maskedae.datasets.audio_video import AudioVideo  # noqa: E402
from maskedae.datasets.films import packets  # noqa: E402
from maskedae.datasets.films.child import WORK, attempt  # noqa: E402
from maskedae.datasets.films.film import Refused  # noqa: E402
from maskedae.datasets.films.moments import Moments  # noqa: E402
from maskedae.datasets.films.reader import Reader  # noqa: E402
from maskedae.datasets.films.reading import Order, read_clips  # noqa: E402
from maskedae.datasets.films.recording import Listening, place, record  # noqa: E402

FRAMES = 48  # of a spectrogram: 0.495 s
SHAPES = ((1, FRAMES, 32), (3, 2, 16, 16))
DATA = AudioVideo(mels=32, interval=0.1)
SECONDS = (400 + (FRAMES - 1) * 160) / 16000
FILMS = {  # container, codec of the sound
    "a.mp4": "aac",
    "b.mkv": "flac",
    "c.avi": "libmp3lame",
    "d.ts": "aac",
    "e.webm": "libopus",
    "f.mov": "pcm_s16le",
    "g.mkv": "aac",
    "h.flv": "aac",
}


def film(folder, name, **options):
    """A film of 2 s with two channels of sound."""
    rate = 48000 if FILMS[name] == "libopus" else written.RATE
    samples = written.tones(options.pop("sounds", 2.0), rate)
    make = {"e.webm": "libvpx"}.get(name, "flv" if name == "h.flv" else "mpeg4")
    return written.film(
        folder / name, samples, codec=FILMS[name], rate=rate, pictures=make, seconds=2, **options
    )


def both(path, data=DATA):
    """What one view of a film is."""
    return data.files([path], SHAPES).read(0)


def level(waveform):
    return waveform - waveform.mean()


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """Read films in this process: to start another for each would take longer than the tests."""

    def ask(_, work, request):
        answer = attempt(WORK[work], request)
        if isinstance(answer, Refused):
            raise BadSample(str(answer))
        return answer

    monkeypatch.setattr(Reader, "_ask", ask)


@pytest.mark.parametrize("name, late", [*((name, 0.4) for name in FILMS), ("a.mp4", 0.0)])
def test_sound_is_what_it_would_be_if_read_alone(tmp_path, name, late):
    path = film(tmp_path, name, late=late)
    pair = both(path)
    assert pair.heard.tolist() == pair.seen.tolist() == [True]
    frames = read_clips(Order(path, Moments(2, interval=0.1)))
    start = float(frames.begins[0]) + 0.1 - SECONDS / 2
    assert 0.5 < start < 1.0
    alone = read(path, 16000, start, SECONDS)
    assert alone.std() > 0.1
    assert_close(pair.audio[0, 0], level(alone), atol=1e-4, rtol=0)


def test_a_film_is_opened_once(tmp_path, monkeypatch):
    path, opened, real = film(tmp_path, "a.mp4"), [], packets.av.open
    monkeypatch.setattr(
        packets.av, "open", lambda *rest, **more: opened.append(rest) or real(*rest, **more)
    )
    order = Order(path, Moments(2, interval=0.1), views=3, track=True)
    listening = Listening(16000, 8000, 400, "mean", 0.2)
    found = record(order, listening)
    assert len(opened) == 1 and all(found.sounds) and found.frames.clips.shape == (3, 2)


def test_large_films_sound_the_same(tmp_path, monkeypatch):
    path = film(tmp_path, "a.mp4")
    order = Order(path, Moments(2, interval=0.1), track=True)
    listening = Listening(16000, 8000, 400, "mean", 0.2)
    small = record(order, listening)
    monkeypatch.setattr("maskedae.datasets.films.with_pyav.KEPT", 0)
    large = record(order, listening)
    np.testing.assert_allclose(small.sounds[0].samples, large.sounds[0].samples, atol=1e-4)
    assert small.sounds[0][1:] == large.sounds[0][1:] and small.rate == large.rate == 44100


def test_sound_that_starts_late_comes_late(tmp_path):
    path = film(tmp_path, "b.mkv", late=1.0, sounds=1.0)
    long = ((1, 198, 32), (3, 2, 16, 16))  # 2 s
    waveform = DATA.files([path], long).read(0).audio[0, 0]
    assert waveform[:15900].std() < 1e-3 < 0.1 < waveform[16100:].std()


def test_sound_that_ends_early_is_not_silence_but_nothing(tmp_path):
    path = film(tmp_path, "b.mkv", sounds=0.5)
    long = ((1, 198, 32), (3, 2, 16, 16))
    pair = DATA.files([path], long).read(0)
    ended = pair.audio[0, 0].isnan()
    assert pair.heard.item() and ended.int().diff().sum() == 1
    assert ended.int().argmax().item() == pytest.approx(8000, abs=50)  # stamped in milliseconds
    log_mel = DATA.signal(pair).audio[0, 0]
    mean, std = DATA.sounds.statistics
    assert_close(log_mel[60:], torch.full_like(log_mel[60:], -mean / (2 * std)))


@pytest.mark.parametrize("options", [{"sounds": 0.3}, {"late": 1.6, "sounds": 0.3}])
def test_sound_that_is_elsewhere_is_absent(tmp_path, options):
    path = film(tmp_path, "b.mkv", **options)
    pair = both(path)
    assert pair.heard.tolist() == [False] and pair.seen.tolist() == [True]
    with pytest.raises(BadSample, match="no sound around its clips"):
        both(path, AudioVideo(mels=32, interval=0.1, missing="skip"))


@pytest.mark.parametrize("pictures", [True, False])
def test_what_lacks_a_stream_says_so(tmp_path, pictures):
    if pictures:
        path, why = written.film(tmp_path / "a.mp4", None), "no sound track"
    else:
        path, why = (
            written.write(tmp_path / "a.mp4", written.tones()),
            "no video stream: audio only",
        )
    pair = both(path)
    assert (pair.seen.item(), pair.heard.item()) == (pictures, not pictures)
    assert (pair.video if pictures else pair.audio).isfinite().all()
    with pytest.raises(BadSample, match=why):
        both(path, AudioVideo(mels=32, missing="skip"))


def test_a_codec_that_is_not_known_is_no_missing_stream(tmp_path):
    path = Path(film(tmp_path, "b.mkv"))
    content = path.read_bytes()
    assert content.count(b"A_FLAC") == 1
    path.write_bytes(content.replace(b"A_FLAC", b"A_XXXX"))
    with pytest.raises(BadSample, match="its sound: sound of a codec that is not known"):
        both(str(path))


def test_a_sound_that_cannot_be_decoded_is_no_missing_one(tmp_path):
    path = Path(film(tmp_path, "a.mp4"))
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        for packet in container.demux(audio=0):
            if packet.size:
                content[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    path.write_bytes(content)
    with pytest.raises(BadSample, match="cannot be decoded|can be decoded"):
        both(str(path))


def test_the_shorter_lies_within_the_longer():
    begins, middle = np.array([0.0, 3.0, 6.0]), Listening(10, 100, 1, "mean", 4.0)
    assert place(begins, middle, (0.0, 20.0)) == [0.0, 0.0, 3.0]
    assert place(begins, middle, (0.0, 10.0)) == [0.0, 0.0, 0.0]
    assert place(begins, middle, (0.0, 11.0)) == [0.0, 0.0, 1.0]
    short = Listening(10, 10, 1, "mean", 4.0)
    assert place(begins, short, (0.0, 10.0)) == [1.5, 4.5, 7.5]
    chances = np.linspace(0, 1, 200, endpoint=False)
    for seconds in (1.0, 10.0):
        drawn = Listening(10, round(10 * seconds), 1, "mean", 4.0, chances)
        starts = np.array(place(np.full(200, 8.0), drawn, (0.0, 20.0)))
        low, high = sorted((8.0, 12.0 - seconds))
        assert starts.min() == low and high - 0.1 < starts.max() < high
    assert place(begins[2:], middle, (5.0, 9.0)) == [5.0]
