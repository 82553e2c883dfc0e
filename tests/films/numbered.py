"""Films each of whose frames bears its number, in blocks that survive any codec."""

from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from maskedae.datasets.films.films import opener
from maskedae.datasets.films.moments import Moments

BITS = 10
SIDE = 16  # pixels of a block; two rows of five, and a mark in the corner
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


def picture(number):
    """Draw a number: a block for each bit."""
    image = np.full((3 * SIDE, 5 * SIDE, 3), 64, np.uint8)
    for bit in range(BITS):
        row, column = divmod(bit, 5)
        if number >> bit & 1:
            image[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE] = 220
    image[2 * SIDE :, :SIDE] = (220, 30, 30)  # upright means that red is below on the left
    return image


def numbers(pixels):
    """Read the numbers, and check that the picture is upright: (T, H, W, 3) -> T numbers."""
    height, width = pixels.shape[1] / 3, pixels.shape[2] / 5
    rows, columns = (np.arange(3) + 0.5) * height, (np.arange(5) + 0.5) * width
    blocks = pixels[:, rows.astype(int)][:, :, columns.astype(int)].astype(int)
    red = blocks[:, 2, 0]
    assert (red[:, 0] > red[:, 1] + 60).all() and (red[:, 0] > red[:, 2] + 60).all()
    bits = blocks[:, :2].mean(-1).reshape(len(pixels), BITS) > 142
    return (bits * 2 ** np.arange(BITS)).sum(1).tolist()


def write(path, codec="libx264", frames=60, rate=25, stamps=None, turns=0, pixels=None, **options):
    """Write a film; `stamps` are times in milliseconds, `turns` is undone by whoever shows it."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        image = np.rot90(picture(0), -turns)
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt = pixels or "yuv420p"
        stream.options = {name.replace("_", "-"): str(value) for name, value in options.items()}
        stream.codec_context.thread_count = 1
        if stamps is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if turns:
            stream.set_display_rotation(90 * turns)
        for number in range(frames):
            image = np.ascontiguousarray(np.rot90(picture(number), -turns))
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if stamps is not None:
                frame.pts, frame.time_base = stamps[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return str(path)


def make(folder, name):
    """Write a film of one of the kinds, unless it is there."""
    path = folder / name
    return str(path) if path.exists() else write(path, **KINDS[name])


class Films(Dataset):
    """The numbers of frames, and the process that they come from; stands here to be spawned."""

    def __init__(self, film, reader):
        self.film, self.reader = film, reader

    def __len__(self):
        return 6

    def __getitem__(self, index):
        found = self.reader.read(self.film, Moments(2, stride=index + 1))
        return torch.tensor([*numbers(found.pixels), self.reader.child.process.pid])


def loadable(decoder):
    """Skip where a decoder is not there: decord has no files for all machines."""
    try:
        opener(decoder)
    except (ImportError, OSError, RuntimeError) as error:
        pytest.skip(f"{decoder} does not load here: {type(error).__name__}")
    return decoder
