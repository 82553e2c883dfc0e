"""Between bytes and what a model sees: statistics of channels, for signals of any axes."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
GRAY = ((0.449,), (0.226,))  # their average, for channels that are not red, green and blue


class Colours(NamedTuple):
    """Mean and deviation of every channel, black being 0 and white 1; without, ImageNet's."""

    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None

    def of(self, channels: int) -> tuple[list[float], list[float]]:
        """Mean and deviation of so many channels. Raises ValueError if theirs are others."""
        found = []
        usual = IMAGENET if channels == 3 else GRAY
        for name, given, known in zip(self._fields, self, usual, strict=True):
            values = list(given or known)
            if len(values) not in (1, channels):
                raise ValueError(f"{name} has {len(values)} values for {channels} channels")
            found.append(values * (channels // len(values)))
        return found[0], found[1]

    def statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """The same as tensors (C, 1, ...) for a signal (C, *size)."""
        mean, std = (
            # A blocking copy would make every step wait for the device to finish the last one.
            torch.tensor(values, dtype=like.dtype).to(like.device, non_blocking=True)
            for values in self.of(len(like))
        )
        ones = [1] * (like.ndim - 1)
        return mean.view(-1, *ones), std.view(-1, *ones)

    def normalise(self, batch: Tensor) -> Tensor:
        """Bytes as a signal: uint8 (B, C, *size) -> float (B, C, *size)."""
        # Any type will do, the values being 0..255: a float batch keeps its precision.
        values = batch if batch.is_floating_point() else batch.to(torch.get_default_dtype())
        mean, std = self.statistics(values[0])
        return values.div(255).sub_(mean).div_(std)

    def pixels(self, signal: Tensor) -> Tensor:
        """A signal as bytes, gray where it is NaN: float (C, *size) -> uint8 (C, *size)."""
        signal = signal.detach().to("cpu", torch.float32)
        mean, std = self.statistics(signal)
        return (signal * std + mean).nan_to_num(nan=0.5).clamp(0, 1).mul(255).round().byte()


def pixel_sums(pixels: Tensor) -> list[list[float]]:
    """Sums of ones, values and squares of every channel, white being 1: (C, H, W) -> (3, C)."""
    total = torch.zeros(2, len(pixels), dtype=torch.float64)
    for part in torch.split(pixels.flatten(1), 2**16, dim=1):  # so that sums of floats are exact
        part = part.float()
        total += torch.stack([part.sum(1), part.square().sum(1)])
    count = float(pixels[0].numel())
    return [[count] * len(pixels), *(total / torch.tensor([[255.0], [255.0**2]])).tolist()]
