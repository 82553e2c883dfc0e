"""Films in folders and lists, of every format that a decoder reads, and folders of frames."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from maskedae.answers import Kind
from maskedae.augmentation import finishing
from maskedae.colours import Colours
from maskedae.data import Panel, Source, Split
from maskedae.datasets.films.cropping import BILINEAR, MultiScaleCrop, views
from maskedae.datasets.films.drawing import draw_film, draw_strips
from maskedae.datasets.films.facts import inspect as inspect
from maskedae.datasets.films.films import EXTENSIONS as EXTENSIONS
from maskedae.datasets.films.films import installed
from maskedae.datasets.films.films import sniff as sniff
from maskedae.datasets.films.kinetics import kinetics
from maskedae.datasets.films.moments import Moments
from maskedae.datasets.films.reader import Reader
from maskedae.datasets.films.reading import Frames
from maskedae.datasets.films.stills import EXTENSIONS as STILLS
from maskedae.listing import Listing, Splits, list_named, open_splits
from maskedae.scanning import Wanted
from maskedae.windows import cut_all

LEAVES = frozenset(STILLS)  # a folder of such files is a film
LAYOUTS = (kinetics,)


@dataclass(frozen=True)
class Videos:
    """Films from folders, where sub-folders are classes, or from lists.

    A folder of frames is a film, too. With one channel clips are gray, with three RGB. What a
    folder holds is looked up once per instance.
    """

    root: str | list[str] | None = None
    """A folder, a .txt list (path, label), a .csv list (columns path, label, or Kinetics' own); or
    several."""
    val_root: str | list[str] | None = None
    """The same, for what is held out. By default val/ or the like next to train/ in a root."""
    weights: list[float] | None = None
    """How often each root is drawn from, relative to the others; by default by its samples."""
    held_out_share: float = 0.05
    """Held out where there are labels but nothing else is held out."""
    separator: str = "\t"
    """What stands between path and label in lists: a space in those of SlowFast and VideoMAE."""
    labels: Kind = "class"
    """What a label in a list is: a class, classes separated by | or ;, or a number."""
    decoder: Literal["auto", "decord", "pyav", "torchcodec"] = "auto"
    """What decodes; auto takes PyAV, and for codecs that it lacks what else is installed."""
    stride: int = 4
    """Frames from one frame of a clip to the next."""
    interval: float | None = None
    """Seconds from one frame of a clip to the next, in films of any rate; then no stride."""
    segments: bool = False
    """A frame of each of as many equal parts of a film, as for Something-Something; no stride."""
    repeats: int = 1
    """Clips drawn of a film each time it is opened for training; each is a sample to the model."""
    test_views: tuple[int, int] = (1, 1)
    """Without augmentation: clips along a film x crops along the longer side, to be averaged."""
    frame_rate: float = 30.0
    """Frames per second of films that are folders of frames."""
    window: float | None = None
    """Without augmentation: seconds into which films are cut, each a sample, the last one ending
    with the film; by default films are whole."""
    hop: float | None = None
    """Seconds from the start of a window to that of the next; by default they touch."""
    mean: list[float] | None = None
    """Of every channel, black being 0 and white 1; by default that of ImageNet."""
    std: list[float] | None = None
    """Of every channel, as the mean."""
    scale: tuple[float, float] = (0.5, 1.0)
    """Area of the crops of training, as a share of the frame."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Width over height of the crops of training."""
    multi_scale: list[float] | None = None
    """Instead: sides of crops at 13 fixed places, as shares of the shorter side of the frame."""
    flip: float = 0.5
    """Share of clips mirrored in training."""
    rand_augment: str | None = None
    """timm's notation of a RandAugment for training, the same for all frames; none is none."""
    erasing: float = 0.0
    """Share of clips of which a box is replaced by noise in training, in all frames."""
    eval_crop: float = 1.0
    """Without augmentation: share of the shorter side that a crop keeps."""
    short_side: int | None = None
    """Pixels to which the shorter side of far larger films is shrunk on decoding; by default 8/7 of
    what the model sees; 0 leaves it."""
    timeout: float = 60.0
    """Seconds after which a film that is still not decoded is given up."""
    max_bad_share: float = 0.05
    """More unreadable films than this end a run."""

    figure = "grid.mp4"
    inherited = ("mean", "std")
    noise_size = 0
    ragged = False
    ends_at = 1
    lacking = False

    def __post_init__(self) -> None:
        for name, least in (("repeats", 1), ("stride", 1), ("timeout", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"data.{name} is {getattr(self, name)}; {least} or more would fit")
        if min(self.test_views) < 1:
            raise ValueError(f"data.test_views are {self.test_views}; 1 or more each would fit")
        for name in ("interval", "window", "hop"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"data.{name} is {value}; some seconds would fit")
        if self.segments and self.interval:
            raise ValueError("data.segments and data.interval exclude each other; leave one out")
        if self.hop and not self.window:
            raise ValueError("data.hop needs data.window, in seconds")

    def source(self, split: Split, shape: tuple[int, ...], augment: bool) -> Source | None:
        listing = self.splits.train if split == "train" else self.splits.held_out
        return None if listing is None else VideoSource(self, listing, shape, augment)

    def files(self, paths: Sequence[str], shape: tuple[int, ...]) -> Source:
        return VideoSource(self, list_named(paths, self.wanted), shape, augment=False)

    @property
    def wanted(self) -> Wanted:
        """Which files are samples, and what their labels are."""
        return Wanted(EXTENSIONS, sniff, self.labels, self.separator, LEAVES, LAYOUTS)

    @property
    def colours(self) -> Colours:
        """Statistics of the channels."""
        return Colours(self.mean, self.std)

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

    def crop(self, shape: tuple[int, ...], augment: bool) -> Callable[[Tensor], list[Tensor]]:
        """Make the function that cuts views from the frames of a clip: (T, C, H, W) -> views."""
        size = shape[2:]
        if not augment:
            return partial(views, size=size, count=self.test_views[1], share=self.eval_crop)
        cut = v2.RandomResizedCrop(size, self.scale, self.ratio, BILINEAR, antialias=True)
        statistics = self.colours.statistics(torch.empty(shape[0], 1, 1))
        steps = [
            MultiScaleCrop(size, self.multi_scale) if self.multi_scale else cut,
            v2.RandomHorizontalFlip(self.flip),
            *finishing(self.rand_augment, self.erasing, statistics),
        ]
        return partial(alone, v2.Compose(steps))

    def synthetic(self, count: int, shape: tuple[int, ...]) -> Tensor:
        return torch.randint(256, (count, *shape), dtype=torch.uint8)

    def signal(self, batch: Tensor, noise: Tensor | None = None) -> Tensor:
        return self.colours.normalise(batch)

    def shade(self, values: Tensor) -> Tensor:
        return self.signal(values.unsqueeze(0) * 255)[0]

    def readable(self, name: str) -> str:
        return name

    def drawn(self, path: Path) -> list[Path]:
        """Frames side by side as .png and a film, .mp4 or .gif; the path names either."""
        kind = path.suffix.lower()
        if kind not in (".png", ".mp4", ".gif"):
            raise ValueError(f"films are drawn as .png and .mp4, or .gif, not as {path.name}")
        return [path.with_suffix(".png"), path.with_suffix(".gif" if kind == ".gif" else ".mp4")]

    def draw(self, rows: list[list[Panel]], note: str, path: Path) -> list[Path]:
        clips = [
            [(panel.caption, self.colours.pixels(panel.signal)[:3]) for panel in row]
            for row in rows
        ]
        sheet, film = self.drawn(path)
        draw_strips(clips, note, sheet)
        draw_film(clips, note, film)
        return [sheet, film]


class VideoSource:
    """The films of one split, or windows of them."""

    def __init__(
        self, data: Videos, listing: Listing, shape: tuple[int, ...], augment: bool
    ) -> None:
        if len(shape) != 4 or shape[0] not in (1, 3):
            hint = "; --model.name names a model of clips, see maskedae models"
            raise ValueError(
                f"clips are (1 or 3 channels, frames, height, width), not {shape}"
                + (hint if len(shape) == 3 else "")
            )
        if data.decoder not in ("auto", *installed()):
            extra = f"pip install 'maskedae[{data.decoder}]'"
            raise ValueError(f"{data.decoder} is not installed: {extra}, or data.decoder=auto")
        self.listing, self.augment, self.temporal = listing, augment, data.test_views[0]
        self.moments = Moments(shape[1], data.stride, data.interval, data.segments)
        self.crop = data.crop(shape, augment)
        self.reader = Reader(data.decoder, data.timeout, data.frame_rate)
        whole = -(-min(shape[2:]) * 8 // 7)
        self.short_side = (whole if data.short_side is None else data.short_side) or None
        repeats = data.repeats if augment else data.test_views[0] * data.test_views[1]
        self.shape: tuple[int, ...] = (repeats, *shape)
        self.labels, self.classes, self.shares = listing.labels, listing.classes, listing.shares
        self.unlabelled, self.remarks = listing.unlabelled, listing.remarks
        self.fingerprint = listing.fingerprint
        self.spans: Tensor | None = None
        self.weights: Tensor | None = None
        if data.window and not augment:
            windows = cut_all(listing, self._seconds, data.window, data.hop or data.window)
            self.files, self.spans, self.labels, self.shares, self.fingerprint = windows

    def _seconds(self, path: str) -> float:
        return self.reader.facts(path).seconds

    def __len__(self) -> int:
        return len(self.listing) if self.spans is None else len(self.spans)

    def name(self, index: int) -> str:
        return self.listing.path(index if self.spans is None else int(self.files[index]))

    def read(self, index: int) -> Tensor:
        span = None if self.spans is None else tuple(self.spans[index].tolist())
        chances = None
        if self.augment:
            # One number more or less for a clip would change all that is drawn after it.
            chances = torch.rand(self.shape[0], self.moments.frames, dtype=torch.float64).numpy()
        frames = self.reader.read(
            self.name(index),
            self.moments,
            chances=chances,
            views=self.temporal,
            window=span,
            short_side=self.short_side,
        )
        return self.clips(frames)

    def clips(self, frames: Frames) -> Tensor:
        """Cut what was decoded to the size of the model, in training by chance: (V, C, T, H, W)."""
        pixels = torch.from_numpy(frames.pixels).permute(0, 3, 1, 2)
        if self.shape[1] == 1:
            pixels = F.rgb_to_grayscale(pixels)
        clips = [view for chosen in frames.clips for view in self.crop(pixels[chosen])]
        return torch.stack(clips).transpose(1, 2).contiguous()


def alone(change: Callable[[Tensor], Tensor], clip: Tensor) -> list[Tensor]:
    """Change a clip, as the only view of it."""
    return [change(clip)]
