"""Hints at what was probably meant."""

from difflib import get_close_matches


def nearest(name: str, known: list[str]) -> str:
    """The known name that was probably meant, or all of them.

    >>> nearest("pretrian", ["pretrain", "probe"])
    'did you mean pretrain?'
    """
    close = get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
