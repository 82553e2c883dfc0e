"""Films decoded by torchcodec, where it shows the frames in the right order."""

from collections.abc import Sequence

import numpy as np
from torchcodec.decoders import VideoDecoder

from maskedae.datasets.films.film import Pixels, Refused, agree, first_line, hold, resized
from maskedae.datasets.films.packets import demux, look, opened, refusing, timing

TAKEN = ("mov", "matroska", "gif")  # of MPEG and AVI it mistakes the order of the frames


class TorchCodecFilm:
    """A film that torchcodec decodes; when each frame is shown is taken from its packets."""

    def __init__(self, path: str) -> None:
        with refusing(path):
            container, stream = opened(path)
            index = look(demux(container, stream))
            kind = container.format.name
            container.close()
        if index is None or not kind.startswith(TAKEN):
            raise Refused(f"{kind}, of which torchcodec mistakes the order of frames")
        self.times, self.rate = timing(index, stream)
        self.lost = 0
        try:
            self.decoder = VideoDecoder(
                path, dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact"
            )
            height, width, _ = self.decoder.get_frame_at(0).data.shape
        except (RuntimeError, ValueError, IndexError) as error:
            raise first_line(error) from error
        self.size = (height, width)
        agree(len(self.decoder), self.size, self)

    def frames(self, indices: Sequence[int], size: tuple[int, int] | None = None) -> Pixels:
        chosen = [int(index) for index in indices]
        try:
            return resized(self.decoder.get_frames_at(chosen).data.numpy(), size)
        except (RuntimeError, IndexError):
            return resized(self._one_by_one(chosen), size)

    def close(self) -> None:
        del self.decoder

    def _one_by_one(self, indices: list[int]) -> Pixels:
        """Decode what can be decoded."""
        pixels = np.empty((len(indices), *self.size, 3), np.uint8)
        good = np.zeros(len(indices), bool)
        for row, index in enumerate(indices):
            try:
                pixels[row], good[row] = self.decoder.get_frame_at(index).data.numpy(), True
            except (RuntimeError, IndexError):
                continue
        self.lost += hold(pixels, good)
        return pixels
