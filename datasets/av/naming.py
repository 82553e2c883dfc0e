"""Samples whose pictures and sound are two files: both paths in one name."""

from dataclasses import replace

import torch

from maskedae.listing import Listing

BETWEEN = "\0"  # which no path holds


def joined(film: str, sound: str) -> str:
    """The name of a sample of a film, or pictures, and a sound; either may be empty."""
    return f"{film}{BETWEEN}{sound}" if film and sound else film or sound


def parts(name: str) -> tuple[str, str]:
    """The path of the film, and of the sound; empty where the film has its own.

    >>> parts("a.mp4"), parts(joined("frames/a", "a.wav"))
    (('a.mp4', ''), ('frames/a', 'a.wav'))
    """
    film, _, sound = name.partition(BETWEEN)
    return film, sound


def part(listing: Listing, number: int) -> Listing:
    """The same samples, of which only the film, 0, or the sound, 1, is wanted."""
    text = listing.text.numpy().tobytes()
    if BETWEEN.encode() not in text:
        return listing
    names = list[bytes]()
    starts = listing.offsets.tolist()
    for start, stop in zip(starts, starts[1:], strict=False):
        both = text[start:stop].split(BETWEEN.encode())
        names.append(both[min(number, len(both) - 1)])
    ends = torch.tensor([0, *map(len, names)]).cumsum(0)
    whole = torch.frombuffer(bytearray(b"".join(names)), dtype=torch.uint8)
    return replace(listing, text=whole, offsets=ends)
