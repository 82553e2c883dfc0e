"""The film that was read last, kept open: windows of one film are read one after the other."""

import os

from maskedae.datasets.films.film import Film
from maskedae.datasets.films.reading import Frames, Order, clips_of, film_of


class Keeper:
    """Reads clips; the film stays open until another is wanted, or something was wrong with it."""

    def __init__(self) -> None:
        self.film: Film | None = None
        self.known: object = None

    def clips(self, order: Order) -> Frames:
        """Decode every frame once that a clip wants. Raises Refused."""
        known = identity(order)
        if self.film is None or known is None or known != self.known:
            self.close()
            self.film, self.known = film_of(order), known
        whole = False
        try:
            frames = clips_of(self.film, order)
            whole = not self.film.lost
        finally:
            if not whole:  # what is broken may leave traces in a decoder
                self.close()
        return frames

    def close(self) -> None:
        """Let go of the film."""
        film, self.film = self.film, None
        if film is not None:
            film.close()


def identity(order: Order) -> object:
    """What makes a film another: its path, its file and how it is opened; None without a file."""
    try:
        status = os.stat(order.path)
    except OSError:
        return None
    file = (status.st_ino, status.st_mtime_ns, status.st_size)
    return (order.path, order.decoder, order.frame_rate, *file)
