"""Small sounds for the tests, in any format, as their encoders write them."""

from fractions import Fraction

import av
import numpy as np
import soundfile

RATE = 44100
# Codecs in capital letters are libsndfile's, others PyAV's.
FORMATS = {
    "a.wav": "PCM_16",
    "u8.wav": "PCM_U8",
    "b24.wav": "PCM_24",
    "b32.wav": "PCM_32",
    "float.wav": "FLOAT",
    "double.wav": "DOUBLE",
    "alaw.wav": "ALAW",
    "ima.wav": "IMA_ADPCM",
    "gsm.wav": "GSM610",
    "a.aiff": "PCM_16",
    "a.au": "ULAW",
    "a.caf": "ALAC_16",
    "a.w64": "PCM_24",
    "a.flac": "PCM_16",
    "a.ogg": "VORBIS",
    "a.opus": "OPUS",
    "a.mp3": "MPEG_LAYER_III",
    "a.m4a": "aac",
    "alac.m4a": "alac",
    "a.aac": "aac",
    "a.ac3": "ac3",
    "a.mkv": "aac",
    "flac.mkv": "flac",
    "mp3.mkv": "libmp3lame",
    "a.webm": "libopus",
    "a.mp4": "aac",
    "a.mov": "pcm_s16le",
    "a.avi": "libmp3lame",
    "a.ts": "aac",
    "a.flv": "aac",
    "a.wma": "wmav2",
    "a.tta": "tta",
    "a.wv": "wavpack",
}


def tones(seconds=1.0, rate=RATE, pitches=(440.0, 1100.0)):
    """A chirp from each pitch up to twice of it in every channel: (samples, channels)."""
    time = np.arange(round(seconds * rate))[:, None] / rate
    rise = np.array(pitches) * (time + time**2 / max(seconds, 1e-9) / 2)
    return (0.5 * np.sin(2 * np.pi * rise)).astype(np.float32)


def write(path, samples, rate=RATE, codec=None):
    """Write (samples, channels) to a file of any format: -> its path."""
    path, codec = str(path), codec or FORMATS["a." + str(path).rsplit(".", 1)[1]]
    if codec.isupper():
        kind = "OGG" if codec == "OPUS" else None
        with soundfile.SoundFile(path, "w", rate, samples.shape[1], codec, format=kind) as file:
            for start in range(0, len(samples), rate):  # all at once, Vorbis overflows the stack
                file.write(samples[start : start + rate])
        return path
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate, layout=layout(samples))
        stream.bit_rate = 128_000
        fill(container, stream, samples)
    return path


def layout(samples):
    return {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[1]]


def fill(container, stream, samples, late=0.0):
    """Encode samples that start late into a stream."""
    for packet in encoded(stream, samples, late):
        container.mux(packet)


def encoded(stream, samples, late=0.0):
    """Packets of a stream whose samples start late."""
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(samples.T), format="fltp", layout=layout(samples)
    )
    frame.sample_rate = stream.codec_context.sample_rate
    resampler = av.AudioResampler(stream.codec_context.format, layout(samples), frame.sample_rate)
    pieces = resampler.resample(frame)
    fifo, start = av.AudioFifo(), round(late * frame.sample_rate)
    for piece in pieces:
        piece.pts = None
        fifo.write(piece)
    size = stream.codec_context.frame_size or 1024
    while piece := fifo.read(size) or fifo.read(0, partial=True):
        piece.pts, start = start, start + piece.samples
        piece.time_base = Fraction(1, frame.sample_rate)
        yield from stream.encode(piece)
    yield from stream.encode(None)


def film(
    path,
    samples,
    late=0.0,
    codec="aac",
    rate=RATE,
    pictures_late=0.0,
    seconds=1.0,
    pictures="mpeg4",
):
    """A film with pictures, 10 of them a second, and sound that starts late: -> its path.

    Without samples there is no sound.
    """
    with av.open(str(path), "w") as container:
        pictures = container.add_stream(pictures, rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = 32, 32, "yuv420p"
        if samples is not None:
            sound = container.add_stream(codec, rate, layout=layout(samples))
        for number in range(round(10 * seconds)):
            picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            picture.pts = number + round(10 * pictures_late)
            container.mux(pictures.encode(picture))
        container.mux(pictures.encode(None))
        if samples is not None:
            fill(container, sound, samples, late)
    return str(path)


def every(folder, seconds=1.0, names=FORMATS):
    """Write a sound of two channels in every format, GSM's being one channel: -> paths."""
    paths = []
    for name in names:
        codec = FORMATS[name]
        rate = {"OPUS": 48000, "libopus": 48000, "GSM610": 8000}.get(codec, RATE)
        samples = tones(seconds, rate)
        samples = samples[:, :1] if codec == "GSM610" else samples
        paths.append(write(folder / name, samples, rate, codec))
    return paths
