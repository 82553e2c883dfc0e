"""Feature pyramids: maps of several scales, all of one width, from the maps of an encoder."""

from collections import OrderedDict

from timm.layers import LayerNorm2d  # type: ignore[attr-defined]
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from maskedae.maps import Maps

Scales = dict[str, Tensor]  # maps by level, the finest first


class SimplePyramid(nn.Module):
    """Four scales, and a fifth for proposals, from one map (arXiv:2203.16527, section 3)."""

    def __init__(self, width: int, stride: int, channels: int) -> None:
        super().__init__()
        if width % 4 or stride % 4:
            raise ValueError(
                f"a map of {width} channels every {stride} pixels cannot be made finer twice: "
                f"multiples of 4 would fit"
            )
        self.strides = [stride // 4, stride // 2, stride, stride * 2, stride * 4]
        half, quarter = width // 2, width // 4
        self.finer = nn.ModuleList(
            [
                nn.Sequential(
                    nn.ConvTranspose2d(width, half, 2, 2),
                    LayerNorm2d(half),
                    nn.GELU(),
                    nn.ConvTranspose2d(half, quarter, 2, 2),
                ),
                nn.ConvTranspose2d(width, half, 2, 2),
                nn.Identity(),
                nn.MaxPool2d(2, 2),
            ]
        )
        self.even = nn.ModuleList(evened(n, channels) for n in (quarter, half, width, width))

    def forward(self, maps: list[Tensor]) -> Scales:
        """[(B, D, h, w)] -> five maps (B, channels, ..)."""
        (x,) = maps
        found = [even(finer(x)) for even, finer in zip(self.even, self.finer, strict=True)]
        found.append(nn.functional.max_pool2d(found[-1], 1, 2))
        return {str(level): one for level, one in enumerate(found)}


def evened(width: int, channels: int) -> nn.Sequential:
    """A map of any width made one of so many channels."""
    return nn.Sequential(
        nn.Conv2d(width, channels, 1, bias=False),
        LayerNorm2d(channels),
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        LayerNorm2d(channels),
    )


class TopDown(nn.Module):
    """Scales of a hierarchical encoder, to each of which what the coarser ones hold is added.

    (arXiv:1612.03144.) One more for proposals follows the coarsest.
    """

    def __init__(self, widths: list[int], strides: list[int], channels: int) -> None:
        super().__init__()
        self.strides = [*strides, strides[-1] * 2]
        last = LastLevelMaxPool()
        self.network = FeaturePyramidNetwork(widths, channels, last, norm_layer=LayerNorm2d)

    def forward(self, maps: list[Tensor]) -> Scales:
        """[(B, D, h, w)] of every scale -> one more, (B, channels, ..)."""
        named = OrderedDict((str(level), one) for level, one in enumerate(maps))
        return dict(zip(map(str, range(len(maps) + 1)), self.network(named).values(), strict=True))


def make_pyramid(maps: Maps, channels: int) -> SimplePyramid | TopDown:
    """The pyramid for one map, or for the maps of several scales."""
    if len(maps.widths) == 1:
        return SimplePyramid(maps.widths[0], maps.strides[0], channels)
    return TopDown(maps.widths, maps.strides, channels)
