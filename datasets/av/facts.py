"""Read a film with its sound in full and say what it is."""

import os
from collections.abc import Callable

from maskedae.data import BadSample
from maskedae.datasets.audio.facts import report as report_sound
from maskedae.datasets.audio.fbank import Fbank
from maskedae.datasets.audio.kinds import EXTENSIONS as SOUNDS
from maskedae.datasets.audio.sound import Channel
from maskedae.datasets.audio.with_pyav import Track
from maskedae.datasets.films.facts import inspect as report_film
from maskedae.datasets.films.film import Absent

APART = 0.1  # seconds by which sound and pictures may differ without a word
Report = dict[str, object]


def report(path: str, fbank: Fbank | None = None, channel: Channel = "mean") -> Report:
    """Decode a film and its sound in full and say what they are. Raises BadSample.

    With `fbank` there are the sums of its log-mel values, too.
    """
    film = sound = None
    if os.path.splitext(path)[1].lower() not in SOUNDS:
        film = there(lambda: report_film(path))
    if not os.path.isdir(path):
        try:
            sound = there(lambda: report_sound(path, fbank, channel))
        except BadSample as reason:
            raise BadSample(f"its sound: {reason}" if film else str(reason)) from reason
    if film is None and sound is None:
        raise BadSample("neither pictures nor sound")
    if film is None or sound is None:
        known, lacking = film or sound or {}, "no pictures" if film is None else "no sound"
        kind = "sound without pictures" if film is None else "film without sound"
        return known | {"kind": kind, "warnings": [*said(known), lacking]}
    return film | merged(film, sound, Track(path).late)


def there(look: Callable[[], Report]) -> Report | None:
    """What a look at a file finds; None if it lacks what is looked for."""
    try:
        return look()
    except BadSample as reason:
        if isinstance(reason.__cause__, Absent):
            return None
        raise


def merged(film: Report, sound: Report, late: float) -> Report:
    """What is to be said beyond the pictures, the sound starting so many seconds after them."""
    lengths = [float(str(part["seconds"])) for part in (film, sound)]
    rest = lengths[0] - lengths[1]
    notes = {
        f"sound starts {late:.1f} s after the pictures": late > APART,
        f"sound starts {-late:.1f} s before the pictures": -late > APART,
        f"sound ends {rest:.1f} s before the pictures": rest > APART,
        f"sound ends {-rest:.1f} s after the pictures": -rest > APART,
    }
    more = [note for note, holds in notes.items() if holds]
    return {
        "kind": "film with sound",
        "sound rate": sound["rate"],
        "channels": sound["channels"],
        "sound seconds": sound["seconds"],
        "sound starts": round(late, 3),
        "warnings": [*said(film), *said(sound), *more],
        **{name: sound[name] for name in ("features", "sums") if name in sound},
    }


def said(report: Report) -> list[str]:
    """The warnings of a report."""
    found = report["warnings"]
    assert isinstance(found, list)
    return found
