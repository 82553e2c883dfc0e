"""What the core asks of data: the contract that every file of `datasets/` fulfils.

Where it says a tensor (B, ...), data of sound and picture have a `Pair` of two, and where it says a
shape, a pair of shapes; types say Any there, for the core never looks which of both it is.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from torch import Tensor

Split = Literal["train", "held_out"]
PLACES = ("root", "val_root", "label_names")  # settings that say where data lie, not what they are


class BadSample(Exception):
    """A sample that cannot be used; the message is the reason that a user reads."""


class Panel(NamedTuple):
    """One picture, film or sound of a figure, as the model sees it: normalised."""

    caption: str
    signal: Any  # (C, *size), NaN where there is nothing to show; or a Pair of such


class Source(Protocol):
    """The samples of one split, addressed by number."""

    # (len,) class numbers, int64; (len, classes) bool, where a sample may be of several; (len,)
    # float, where labels are values; None where there are none.
    labels: Tensor | None
    classes: tuple[str, ...]  # class names by number; empty without classes
    unlabelled: str  # why there are no labels; empty where there are
    fingerprint: str  # of which samples these are, in which order, wherever they lie
    shares: list[tuple[int, float]]  # per root, in index order: its samples, its weight
    shape: tuple[int, ...]  # of what `read` returns: (views, C, ...), of a Pair (views, values)
    # (len, 2) float64, the seconds from which to which a sample lies in its file; None where a
    # sample is a whole file.
    spans: Tensor | None
    # (len,) float64, how often each sample is drawn in training, relative to the others; None where
    # all are drawn alike.
    weights: Tensor | None

    def __len__(self) -> int: ...

    @property
    def remarks(self) -> str:
        """Say what was left out, or is not as one may expect it; empty without."""
        ...

    def name(self, index: int) -> str:
        """Say which sample it is, in the user's words: the path of its file."""
        ...

    def read(self, index: int) -> Any:
        """Decode and augment one sample: (views, C, ...), uint8 where samples are pixels.

        NaN, in floats, is where a sample has ended. In training every view is a sample of its own
        to the model; elsewhere answers and features are averaged over the views of a sample.

        Augmentation draws from torch's global CPU generator and nothing else, so that whoever
        seeds it owns the result. Raises BadSample.
        """
        ...


class Data(Protocol):
    """One kind of data, as the `data` section of a recipe describes it."""

    max_bad_share: float  # more unreadable samples than this end a run
    repeats: int  # views of a sample in training
    figure: str  # name of a figure, if none is given
    inherited: tuple[str, ...]  # settings, where none is given, that fine-tuning takes over
    noise_size: int  # random numbers that `signal` takes to augment one view
    ragged: bool  # whether signals may end early, being NaN from there on
    ends_at: int  # where they may: at multiples of so many values of their first axis
    lacking: bool  # whether a sample may lack its sound or its pictures

    def source(self, split: Split, shape: Any, augment: bool) -> Source | None:
        """Open a split for signals of shape (C, *size); None if there is nothing held out."""
        ...

    def files(self, paths: Sequence[str], shape: Any) -> Source:
        """Open files and folders named by hand, not augmented."""
        ...

    def synthetic(self, count: int, shape: Any) -> Any:
        """Samples of chance alone, as if read, for signals of shape (C, *size): -> (B, C, ...)."""
        ...

    def signal(self, batch: Any, noise: Tensor | None = None) -> Any:
        """Make signals on the device, normalised: (B, C, ...) -> float (B, C, *size).

        With noise (B, noise_size), uniform in [0, 1), they are augmented. Takes what `read` gives,
        also as floats of the same scale.
        """
        ...

    def shade(self, values: Tensor) -> Tensor:
        """A signal that is drawn from dark, 0, to bright, 1: float (C, *size) -> the same shape."""
        ...

    def readable(self, name: str) -> str:
        """Say the name of a class in words that people use."""
        ...

    def drawn(self, path: Path) -> list[Path]:
        """Say which files a figure of that name takes. Raises ValueError for names of no figure."""
        ...

    def draw(self, rows: list[list[Panel]], note: str, path: Path) -> list[Path]:
        """Write a figure of rows of panels, with a note; return the files that it took."""
        ...
