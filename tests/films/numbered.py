"""Films each of whose frames bears its number, in blocks that survive any codec."""

from fractions import Fraction

import av
import numpy as np
import torch
from torch.utils.data import Dataset

from maskedae.datasets.films.moments import Moments

BITS = 10
SIDE = 16  # pixels of a block; two rows of five, and a mark in the corner


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


class Films(Dataset):
    """The numbers of frames, and the process that they come from; stands here to be spawned."""

    def __init__(self, film, reader):
        self.film, self.reader = film, reader

    def __len__(self):
        return 6

    def __getitem__(self, index):
        found = self.reader.read(self.film, Moments(2, stride=index + 1))
        return torch.tensor([*numbers(found.pixels), self.reader.child.process.pid])
