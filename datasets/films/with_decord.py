"""Films decoded by decord, where it seeks to the right frames."""

from collections.abc import Sequence

import decord

from maskedae.datasets.films.film import Pixels, Refused, agree, first_line, resized
from maskedae.datasets.films.with_pyav import PyAVFilm

TAKEN = ("mov", "matroska", "flv")  # elsewhere it mistakes the order of the frames
BROKEN = (decord.DECORDError, RuntimeError, IndexError)


class DecordFilm:
    """A film that decord decodes; when each frame is shown is taken from its packets."""

    def __init__(self, path: str) -> None:
        decord.logging.set_level(decord.logging.QUIET)
        plain = PyAVFilm(path)
        self.times, self.rate, self.size, self.lost = plain.times, plain.rate, plain.size, 0
        plain.close()
        if plain.turns:
            raise Refused("rotated, which decord does not see")
        if not (plain.index.closed and plain.kind.startswith(TAKEN)):
            raise Refused(f"{plain.kind} with groups of pictures that decord mistakes")
        try:
            self.reader = decord.VideoReader(path, num_threads=1)
            agree(len(self.reader), self.reader[0].shape[:2], plain)
        except BROKEN as error:
            raise first_line(error) from error

    def frames(self, indices: Sequence[int], size: tuple[int, int] | None = None) -> Pixels:
        try:
            return resized(self.reader.get_batch([int(i) for i in indices]).asnumpy(), size)
        except BROKEN as error:
            raise first_line(error) from error

    def close(self) -> None:
        del self.reader
