"""Films with their sound: in folders and lists, as film files, or as frames and sounds apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from maskedae.answers import Kind
from maskedae.data import Panel, Source, Split
from maskedae.datasets.audio.augmenting import Roll
from maskedae.datasets.audio.corpora import Corpora
from maskedae.datasets.audio.source import SoundSource
from maskedae.datasets.av.drawing import draw_figure, figure_files
from maskedae.datasets.av.facts import report
from maskedae.datasets.av.manifest import Manifest
from maskedae.datasets.av.naming import part
from maskedae.datasets.av.screening import Shown
from maskedae.datasets.av.source import PairSource
from maskedae.datasets.av.vggsound import vggsound
from maskedae.datasets.films.kinetics import kinetics
from maskedae.datasets.sounds import ALONE as SOUNDS
from maskedae.datasets.sounds import PREPARED as PREPARED
from maskedae.datasets.sounds import Sounds
from maskedae.datasets.sounds import sniff as sniff_sound
from maskedae.datasets.videos import EXTENSIONS as FILMS
from maskedae.datasets.videos import LEAVES as LEAVES
from maskedae.datasets.videos import Videos, VideoSource
from maskedae.datasets.videos import sniff as sniff_film
from maskedae.listing import Listing, Splits, list_named, open_splits
from maskedae.pairs import Pair
from maskedae.scanning import Wanted

EXTENSIONS = frozenset[str]()  # where other kinds are wanted, too, films and sounds are theirs
ALONE = FILMS | SOUNDS
LAYOUTS = (Manifest(apart=True), vggsound)
SHARED = ("labels", "separator", "repeats", "window", "hop")  # settings of sounds and of films


@dataclass(frozen=True)
class AudioVideo:
    """Films from folders, where sub-folders are classes, or from lists.

    Signals are what the model asks for: sound, pictures, or both as a Pair. A film without sound
    lacks it, and a sound alone lacks pictures. What a folder holds is looked up once per instance.
    """

    root: str | list[str] | None = None
    """A folder, a .txt list (path, label), a .csv list (columns path, label; or video, audio,
    label, where either may be empty), or what AudioSet, VGGSound and Kinetics lay out; or
    several."""
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
    label_names: str | None = None
    """A file of the names and order of classes (columns index, mid, display_name); by default the
    one that lies beside a list."""
    balance: bool = False
    """Draw rare classes as often as common ones: by the weights that lie beside a list, or else by
    how often each class occurs."""
    missing: Literal["keep", "skip"] = "keep"
    """What becomes of samples without sound, or without pictures, where a model takes both: they
    take part in what they can, or are left out, named and counted."""
    interval: float | None = None
    """Seconds from one frame of a clip to the next, in films of any rate; by default 0.5."""
    repeats: int = 1
    """Moments drawn of a film each time it is opened for training; each is a sample to the
    model, and to a contrast another film."""
    test_views: int = 1
    """Without augmentation: moments along a film, to be averaged; one is its middle."""
    window: float | None = None
    """Without augmentation: seconds into which films are cut, each a sample, the last one ending
    with the film; by default films are whole."""
    hop: float | None = None
    """Seconds from the start of a window to that of the next; by default they touch."""
    frame_rate: float = 30.0
    """Frames per second of films that are folders of frames."""
    video_mean: list[float] | None = None
    """Of every channel of the pictures, black being 0 and white 1; by default that of ImageNet."""
    video_std: list[float] | None = None
    """Of every channel of the pictures, as their mean."""
    scale: tuple[float, float] = (0.5, 1.0)
    """Area of the crops of training, as a share of the frame."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Width over height of the crops of training."""
    flip: float = 0.5
    """Share of clips mirrored in training."""
    eval_crop: float = 1.0
    """Without augmentation: share of the shorter side that a crop keeps."""
    short_side: int | None = None
    """Pixels to which the shorter side of far larger films is shrunk on decoding; by default 8/7 of
    what the model sees; 0 leaves it."""
    rate: int | None = None
    """Samples per second to which all sounds are resampled; by default 16000."""
    mels: int | None = None
    """Bands of the spectrogram, the last of the model's sizes of sound; by default 128."""
    frame_length: float | None = None
    """Milliseconds that a frame of the spectrogram looks at; by default 25."""
    frame_shift: float | None = None
    """Milliseconds from frame to frame; by default 10."""
    channel: Literal["mean", "left"] | None = None
    """What is heard of several channels: their mean, the default, or the left one."""
    mean: list[float] | None = None
    """Of the log-mel values; by default that of AudioSet."""
    std: list[float] | None = None
    """Of the log-mel values, as the mean; they are divided by twice as much."""
    roll: Roll = "none"
    """Begin sounds anywhere in training, the first part coming last: cyclic, which parts them from
    their pictures. "published" tells that the published code means to, and does not."""
    gain: bool = False
    """Make sounds louder or softer in training, by 0.5 to 1.5."""
    noise: float | None = None
    """Add white noise in training, so many decibels below the sound."""
    mask_time: int = 0
    """Widest stretch of frames of the spectrogram that SpecAugment erases in training; 0 erases
    none."""
    mask_frequency: int = 0
    """Most bands that SpecAugment erases in training; 0 erases none."""
    timeout: float = 60.0
    """Seconds after which a film that is still not decoded is given up."""
    max_bad_share: float = 0.05
    """More unreadable films than this end a run."""

    figure = "grid.mp4"
    inherited = (
        *("mean", "std", "rate", "mels", "frame_length", "frame_shift", "channel"),
        *("video_mean", "video_std", "interval"),
    )
    ragged = False
    ends_at = 1

    def __post_init__(self) -> None:
        for name in ("video_mean", "video_std"):
            if len(getattr(self, name) or [0.0]) not in (1, 3):
                raise ValueError(f"data.{name} is {getattr(self, name)}; 1 or 3 values would fit")
        _ = self.sounds, self.videos  # which check the rest

    @property
    def lacking(self) -> bool:
        """Whether samples may lack sound or pictures."""
        return self.missing == "keep"

    @property
    def sounds(self) -> Sounds:
        """How sound is read; what is shorter than the model takes ends in zeros, as published."""
        names = ("label_names", "balance", "roll", "gain", "noise", "mask_time", "mask_frequency")
        more = ("rate", "mels", "frame_length", "frame_shift", "channel", "mean", "std")
        return Sounds(
            short="zeros", test_views=self.test_views, **self._values(*SHARED, *names, *more)
        )

    @property
    def videos(self) -> Videos:
        """How pictures are read."""
        names = ("frame_rate", "scale", "ratio", "flip", "eval_crop", "short_side")
        return Videos(
            interval=0.5 if self.interval is None else self.interval,
            test_views=(self.test_views, 1),
            mean=self.video_mean,
            std=self.video_std,
            **self._values(*SHARED, *names, "timeout"),
        )

    def _values(self, *names: str) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names}

    @property
    def noise_size(self) -> int:
        """Random numbers that SpecAugment takes for a sample."""
        return self.sounds.noise_size

    @property
    def wanted(self) -> Wanted:
        """Which files are samples, and what their labels are."""
        corpora = Corpora(label_names=self.label_names, weighted=self.balance)
        layouts = (Manifest(), vggsound, kinetics, corpora)
        return Wanted(ALONE, sniff, self.labels, self.separator, LEAVES, layouts)

    @cached_property
    def splits(self) -> Splits:
        """What there is to train on and to hold out."""
        return open_splits(
            self.root,
            self.wanted,
            val_root=self.val_root,
            weights=self.weights,
            held_out_share=self.held_out_share,
        )

    def source(self, split: Split, shape: Any, augment: bool) -> Source | None:
        listing = self.splits.train if split == "train" else self.splits.held_out
        return None if listing is None else self._open(listing, shape, augment)

    def files(self, paths: Sequence[str], shape: Any) -> Source:
        return self._open(list_named(paths, self.wanted), shape, augment=False)

    def _open(self, listing: Listing, shape: Any, augment: bool) -> Any:
        if not isinstance(shape[0], int):
            return PairSource(self, listing, shape, augment)
        if len(shape) == 3:
            return SoundSource(self.sounds, part(listing, 1), shape, augment)
        return VideoSource(self.videos, part(listing, 0), shape, augment)

    def synthetic(self, count: int, shape: Any) -> Any:
        if not isinstance(shape[0], int):
            audio, video = (self.synthetic(count, one) for one in shape)
            there = torch.ones(count, dtype=torch.bool)
            return Pair(audio, video, there, there.clone())
        one = self.sounds if len(shape) == 3 else self.videos
        return one.synthetic(count, shape)

    def signal(self, batch: Any, noise: Tensor | None = None) -> Any:
        if isinstance(batch, Pair):
            audio = self.sounds.signal(batch.audio, noise)
            return Pair(audio, self.videos.signal(batch.video), batch.heard, batch.seen)
        return self.sounds.signal(batch, noise) if batch.ndim == 3 else self.videos.signal(batch)

    def shade(self, values: Tensor) -> Tensor:
        return self.sounds.shade(values) if values.ndim == 3 else self.videos.shade(values)

    def readable(self, name: str) -> str:
        return name

    def drawn(self, path: Path) -> list[Path]:
        # Of pictures alone a film comes with every sheet.
        return list(dict.fromkeys([*figure_files(path), path.with_suffix(".mp4")]))

    def draw(self, rows: list[list[Panel]], note: str, path: Path) -> list[Path]:
        """A sheet of film strips above their spectrograms, a film that sounds, and the sounds."""
        first = rows[0][0].signal
        if isinstance(first, Tensor):
            if first.ndim == 4:
                return self.videos.draw(rows, note, path)
            return self.sounds.draw(
                rows, note, path if path.suffix.lower() == ".png" else path.with_suffix(".wav")
            )
        return draw_figure(
            [[self._shown(panel) for panel in row] for row in rows],
            note,
            self.sounds.fbank,
            self.videos.interval or 0.5,
            path,
        )

    def _shown(self, panel: Panel) -> Shown:
        """A panel of both, or of what is there."""
        signal: Any = panel.signal
        pair: Pair = signal if signal.audio.ndim == 3 else signal[0]
        mean, std = self.sounds.statistics
        film = self.videos.colours.pixels(pair.video)[:3] if pair.seen else None
        log_mel = pair.audio[0].detach().cpu().float() * 2 * std + mean if pair.heard else None
        return Shown(panel.caption, film, log_mel)


def sniff(head: bytes) -> bool:
    """Recognise a film or a sound by its first bytes."""
    return sniff_film(head) or sniff_sound(head)


def inspect(path: str, sums: bool = False, **settings: Any) -> dict[str, object]:
    """Decode a film with its sound in full; the sums are those of log-mel values."""
    data = Sounds(**settings)
    return report(path, data.fbank if sums else None, data.channel or "mean")
