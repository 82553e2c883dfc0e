"""Sounds in folders and lists, of every format that is known, and the sound of films."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from maskedae.answers import Kind
from maskedae.data import Panel, Source, Split
from maskedae.datasets.audio.augmenting import Roll, hide_bands
from maskedae.datasets.audio.corpora import Corpora, check_fold
from maskedae.datasets.audio.drawing import draw_figure, figure_files
from maskedae.datasets.audio.facts import report
from maskedae.datasets.audio.fbank import Fbank
from maskedae.datasets.audio.kinds import CONTAINERS
from maskedae.datasets.audio.kinds import EXTENSIONS as EXTENSIONS
from maskedae.datasets.audio.kinds import sniff as sniff
from maskedae.datasets.audio.source import SoundSource
from maskedae.listing import Splits, list_named, open_splits
from maskedae.scanning import Wanted

ALONE = EXTENSIONS | CONTAINERS  # where no films are wanted, their sound is
LAYOUTS = (Corpora(),)
PREPARED = ("rate", "mels", "frame_length", "frame_shift", "channel")
AUDIOSET = (-4.2677393, 4.5689974)  # mean and deviation of its log-mel values, as published
DARK, BRIGHT = -12.0, 2.0  # log-mel values from silence to loud sounds


@dataclass(frozen=True)
class Sounds:
    """Sounds from folders, where sub-folders are classes, or from lists.

    Films are taken for their sound. What a folder holds is looked up once per instance.
    """

    root: str | list[str] | None = None
    """A folder, a .txt list (path, label), a .csv list (columns path, label), or what ESC-50,
    Speech Commands, VoxCeleb, AudioSet and Audio-MAE lay out; or several."""
    val_root: str | list[str] | None = None
    """The same, for what is held out. By default val/ or the like next to train/ in a root."""
    weights: list[float] | None = None
    """How often each root is drawn from, relative to the others; by default by its samples."""
    held_out_share: float = 0.05
    """Held out where there are labels but nothing else is held out."""
    separator: str = "\t"
    """What stands between path and label in lists."""
    labels: Kind = "class"
    """What a label in a list is: a class, classes separated by | or ;, or a number."""
    fold: int | None = None
    """Held out, of data that come in folds; by default the last."""
    test: bool = False
    """Hold out what is for tests, where data come with samples for validation, too."""
    label_names: str | None = None
    """A file of the names and order of classes (columns index, mid, display_name); by default the
    one that lies beside a list."""
    balance: bool = False
    """Draw rare classes as often as common ones: by the weights that lie beside a list, or else by
    how often each class occurs."""
    rate: int | None = None
    """Samples per second to which all sounds are resampled; by default 16000."""
    mels: int | None = None
    """Bands of the spectrogram, the last of the model's sizes; by default 128."""
    frame_length: float | None = None
    """Milliseconds that a frame of the spectrogram looks at; by default 25."""
    frame_shift: float | None = None
    """Milliseconds from frame to frame; by default 10."""
    channel: Literal["mean", "left"] | None = None
    """What is heard of several channels: their mean, the default, or the left one, as published."""
    short: Literal["left_out", "zeros", "tile"] | None = None
    """What becomes of sounds shorter than the model takes: the rest is left_out of mask, attention,
    loss and pooling (the default); is zeros in the spectrogram, which are louder than silence, as
    published; or they are repeated, tile."""
    grain: int | None = None
    """Frames to a multiple of which silence lengthens sounds, if the rest is left out: those of a
    patch; by default 16."""
    repeats: int = 1
    """Stretches drawn of a sound each time it is read for training, each a sample to the model."""
    test_views: int = 1
    """Without augmentation: stretches along a sound, to be averaged; one is its beginning."""
    window: float | None = None
    """Without augmentation: seconds into which sounds are cut, each a sample, the last one ending
    with the sound; by default sounds are whole."""
    hop: float | None = None
    """Seconds from the start of a window to that of the next; by default they touch."""
    mean: list[float] | None = None
    """Of the log-mel values; by default that of AudioSet."""
    std: list[float] | None = None
    """Of the log-mel values, as the mean; they are divided by twice as much."""
    roll: Roll = "none"
    """Begin sounds anywhere in training, the first part coming last: cyclic. "published" tells that
    the published code means to, and does not."""
    gain: bool = False
    """Make sounds louder or softer in training, by 0.5 to 1.5."""
    noise: float | None = None
    """Add white noise in training, so many decibels below the sound."""
    mask_time: int = 0
    """Widest stretch of frames that SpecAugment erases in training; 0 erases none."""
    mask_frequency: int = 0
    """Most bands that SpecAugment erases in training; 0 erases none."""
    max_bad_share: float = 0.05
    """More unreadable sounds than this end a run."""

    figure = "grid.wav"
    lacking = False
    inherited = (
        *("mean", "std", "rate", "mels", "frame_length", "frame_shift"),
        *("channel", "short", "grain"),
    )

    def __post_init__(self) -> None:
        for name in ("repeats", "test_views"):
            if getattr(self, name) < 1:
                raise ValueError(f"data.{name} is {getattr(self, name)}; 1 or more would fit")
        for name in ("mask_time", "mask_frequency"):
            if getattr(self, name) < 0:
                raise ValueError(f"data.{name} is {getattr(self, name)}; 0 or more would fit")
        for name in ("rate", "mels", "frame_length", "frame_shift", "grain", "window", "hop"):
            if getattr(self, name) is not None and getattr(self, name) <= 0:
                raise ValueError(f"data.{name} is {getattr(self, name)}; more than 0 would fit")
        for name in ("mean", "std"):
            if len(getattr(self, name) or [0.0]) != 1:
                raise ValueError(f"data.{name} is {getattr(self, name)}; one number would fit")
        if self.std and self.std[0] <= 0:
            raise ValueError(f"data.std is {self.std}; more than 0 would fit")
        if self.hop and not self.window:
            raise ValueError("data.hop needs data.window, in seconds")

    def source(self, split: Split, shape: tuple[int, ...], augment: bool) -> Source | None:
        listing = self.splits.train if split == "train" else self.splits.held_out
        return None if listing is None else SoundSource(self, listing, shape, augment)

    def files(self, paths: Sequence[str], shape: tuple[int, ...]) -> Source:
        return SoundSource(self, list_named(paths, self.wanted), shape, augment=False)

    @property
    def fbank(self) -> Fbank:
        """What makes spectrograms of waveforms."""
        length, shift = self.frame_length or 25.0, self.frame_shift or 10.0
        return Fbank(self.rate or 16000, self.mels or 128, length, shift)

    @property
    def ragged(self) -> bool:
        """Whether signals may end early."""
        return self.short in (None, "left_out")

    @property
    def ends_at(self) -> int:
        """Frames to a multiple of which sounds are lengthened."""
        return self.grain or 16

    @property
    def noise_size(self) -> int:
        """Random numbers that SpecAugment takes for a sample."""
        return 4 if self.mask_time or self.mask_frequency else 0

    @property
    def statistics(self) -> tuple[float, float]:
        """Mean and deviation of log-mel values."""
        usual = zip((self.mean, self.std), AUDIOSET, strict=True)
        mean, std = (given[0] if given else known for given, known in usual)
        return mean, std

    @property
    def wanted(self) -> Wanted:
        """Which files are samples, and what their labels are."""
        corpora = Corpora(self.fold, self.test, self.label_names, weighted=self.balance)
        return Wanted(ALONE, sniff, self.labels, self.separator, layouts=(corpora,))

    @cached_property
    def splits(self) -> Splits:
        """What there is to train on and to hold out."""
        found = open_splits(
            self.root,
            self.wanted,
            val_root=self.val_root,
            weights=self.weights,
            held_out_share=self.held_out_share,
        )
        check_fold(self.fold, self.root, self.val_root)
        return found

    def synthetic(self, count: int, shape: tuple[int, ...]) -> Tensor:
        return 0.1 * torch.randn(count, 1, self.fbank.samples(shape[1]))

    def signal(self, batch: Tensor, noise: Tensor | None = None) -> Tensor:
        log_mel = self.fbank(batch[:, 0])
        if self.short == "zeros":
            log_mel = log_mel.masked_fill(log_mel.isnan(), 0.0)
        if noise is not None and self.noise_size:
            log_mel = hide_bands(log_mel, noise, self.mask_time, self.mask_frequency)
        mean, std = self.statistics
        return ((log_mel - mean) / (2 * std)).unsqueeze(1)

    def shade(self, values: Tensor) -> Tensor:
        mean, std = self.statistics
        return (DARK + (BRIGHT - DARK) * values - mean) / (2 * std)

    def readable(self, name: str) -> str:
        return name

    def drawn(self, path: Path) -> list[Path]:
        return figure_files(path)

    def draw(self, rows: list[list[Panel]], note: str, path: Path) -> list[Path]:
        mean, std = self.statistics
        cells = [
            [(p.caption, p.signal[0].detach().cpu().float() * 2 * std + mean) for p in row]
            for row in rows
        ]
        return draw_figure(cells, note, self.fbank, path)


def inspect(path: str, sums: bool = False, **settings: Any) -> dict[str, object]:
    """Decode a sound in full and say what it is; the sums are those of log-mel values."""
    data = Sounds(**settings)
    return report(path, data.fbank if sums else None, data.channel or "mean")
