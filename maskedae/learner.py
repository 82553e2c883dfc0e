"""What every model that learns by imagining has in common, whatever its signals are."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from maskedae.encoder import Encoder
from maskedae.hub import Hub
from maskedae.masking import Masker


class Output(NamedTuple):
    """What a model returns in pre-training."""

    loss: Tensor  # scalar
    prediction: Any  # (B, M, P), in the order of the hidden ones of Encoder.patches; or a pair
    mask: Any
    metrics: dict[str, Tensor]  # scalars to watch beside the loss


class Imagined(NamedTuple):
    """One sample as a model sees it and imagines it, to be drawn: each (1, C, *size), or a Pair."""

    masked: Any  # NaN where hidden
    imagined: Any  # NaN where the model predicts nothing
    whole: Any  # what is visible as it is, the rest as imagined
    share: float  # of what there is, hidden
    loss: float
    # (first axis of a signal,) bool: slices of which something is predicted; None for all.
    predicted: Tensor | None = None


class Learner(nn.Module, Hub, ABC):
    """Encodes what is visible of a signal, imagines what is hidden, and compares."""

    encoder: Encoder
    masker: Masker

    def __init__(self) -> None:
        super().__init__()
        self.undecayed: tuple[str, ...] = ()  # parameters of several axes, spared in pre-training

    @property
    @abstractmethod
    def noise_size(self) -> int:
        """How many random numbers the masks of one sample take."""

    @property
    def paths_size(self) -> int:
        """How many random numbers the dropped paths of one sample take; none where all are kept."""
        return self.encoder.noise_size if self.encoder.drops else 0

    @property
    @abstractmethod
    def needs_statistics(self) -> bool:
        """Whether predictions lack the mean and deviation of their patch."""

    @property
    def draws(self) -> bool:
        """Whether what is imagined can be drawn."""
        return True

    @abstractmethod
    def draw_mask(
        self,
        batch: int,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Any:
        """What hides a batch, by noise (B, noise_size) if it is given."""

    @abstractmethod
    def forward(
        self,
        signal: Any,
        mask: Any = None,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
        paths: Tensor | None = None,
    ) -> Output:
        """Loss, prediction and mask of signals.

        `paths` (B, paths_size) says which paths of the encoder are dropped, where any are.
        """

    @abstractmethod
    def picture(self, signal: Any, masker: Masker, noise: Tensor, oracle: bool = False) -> Imagined:
        """How one sample, a batch of its own, looks behind a mask; the noise is (1, noise_size).

        Hidden values are not used, unless `oracle` lends their mean and deviation.
        """

    def sections(self) -> dict[str, Any]:
        """The masker, if plain values describe it."""
        node = describe_masker(self.masker)
        return {"masker": node} if node else {}


def describe_masker(masker: Masker) -> dict[str, Any] | None:
    """A masker as plain values; None where none describe it."""
    settings = dict[str, Any]()
    for name, value in getattr(masker, "__dict__", {}).items():
        plain = describe_masker(value) if isinstance(value, Masker) else value
        if isinstance(value, Tensor) or plain is None and isinstance(value, Masker):
            return None
        settings[name] = plain
    kind = type(masker)
    return {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": settings}
