"""Augmentation of fine-tuning, from libraries, for bytes, by the random numbers of torch."""

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F


def at_least_one_bit(level_fn: Callable[..., tuple[int]], *level: Any) -> tuple[int]:
    """How many bits to leave: at its strongest timm asks for none, which Pillow refuses."""
    return (max(level_fn(*level)[0], 1),)


class RandAugment:
    """timm's RandAugment, by its own notation such as "rand-m9-mstd0.5-inc1" (arXiv:1909.13719).

    Raises ValueError for pictures of other than 1 or 3 channels.
    """

    def __init__(self, policy: str, mean: Tensor) -> None:
        from timm.data.auto_augment import rand_augment_transform

        fill = tuple(mean.flatten().mul(255).round().int().tolist())
        if len(fill) not in (1, 3):
            raise ValueError(f"RandAugment takes 1 or 3 channels, not {len(fill)}: leave it out")
        kinds = {"img_mean": fill if len(fill) == 3 else fill[0]}
        self.augment = rand_augment_transform(
            policy, {**kinds, "interpolation": Image.Resampling.BICUBIC}
        )
        for op in self.augment.ops:
            if op.name.startswith("Posterize"):
                op.level_fn = partial(at_least_one_bit, op.level_fn)

    def __call__(self, pictures: Tensor) -> Tensor:
        """uint8 (C, H, W), or (T, C, H, W) that are all changed alike -> the same shape."""
        # timm draws from Python and NumPy; the sample's randomness is torch's.
        seed = int(torch.randint(2**32, ()))
        before = random.getstate(), np.random.get_state()
        frames = []
        try:
            for picture in pictures.view(-1, *pictures.shape[-3:]):
                random.seed(seed)
                np.random.seed(seed)
                frames.append(F.pil_to_tensor(self.augment(F.to_pil_image(picture))))
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])
        return torch.stack(frames).view_as(pictures)


class Erase(v2.RandomErasing):  # type: ignore[misc]
    """Random erasing (arXiv:1708.04896) with noise that is normal once the picture is normalised.

    Area, aspect and number of tries are those of the published fine-tuning. Bytes end at black and
    white, which cuts the noise where ImageNet's statistics have about two deviations.
    """

    def __init__(self, share: float, mean: Tensor, std: Tensor) -> None:
        super().__init__(share, scale=(0.02, 1 / 3), ratio=(0.3, 1 / 0.3), value="random")
        self.mean, self.std = mean, std

    def transform(self, inpt: Tensor, params: dict[str, Tensor]) -> Tensor:
        """uint8 (..., C, H, W) -> the same shape; one box with one noise for all."""
        if params["v"] is not None:
            values = (params["v"] * self.std + self.mean).mul(255).round().clamp(0, 255)
            params = {**params, "v": values.to(inpt.dtype)}
        return super().transform(inpt, params)


def finishing(
    policy: str | None, erasing: float, statistics: tuple[Tensor, Tensor]
) -> list[Callable[[Tensor], Tensor]]:
    """What follows cropping and mirroring where it is asked for: RandAugment, then erasing."""
    mean, std = statistics
    steps: list[Callable[[Tensor], Tensor]] = [RandAugment(policy, mean)] if policy else []
    return [*steps, Erase(erasing, mean, std)] if erasing else steps
