"""torchvision's heads with the settings of ViTDet, as far as these can be expressed.

Boxes are reckoned in full precision, whatever the heads run in.
"""

import math

import torch
from timm.layers import LayerNorm2d  # type: ignore[attr-defined]
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import initLevelMapper

from maskedae.settings import Heads

RATIOS = (0.5, 1.0, 2.0)  # height over width of the boxes to begin with


class Anchors(AnchorGenerator):  # type: ignore[misc]
    """The boxes to begin with, in full precision, their distances those of the level."""

    def __init__(self, strides: list[int], side: float) -> None:
        super().__init__(tuple((side * s,) for s in strides), (RATIOS,) * len(strides))
        self.strides = strides

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        """Boxes of all levels, (n, 4), for every picture."""
        device = feature_maps[0].device
        self.set_cell_anchors(torch.float32, device)
        steps = [[torch.tensor(s, device=device)] * 2 for s in self.strides]
        found = self.grid_anchors([list(one.shape[-2:]) for one in feature_maps], steps)
        return [torch.cat(found)] * len(image_list.image_sizes)


class Proposing(RPNHead):  # type: ignore[misc]
    """Where something may be."""

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Maps of all levels -> scores (B, 3, h, w) and boxes (B, 12, h, w) of each."""
        scores, boxes = super().forward(x)
        return [one.float() for one in scores], [one.float() for one in boxes]


class Naming(FastRCNNPredictor):  # type: ignore[misc]
    """What it is, and where exactly."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(n, D) -> scores (n, 1 + classes), boxes (n, 4 (1 + classes))."""
        scores, boxes = super().forward(x)
        return scores.float(), boxes.float()


class Showing(MaskRCNNPredictor):  # type: ignore[misc]
    """Which pixels it has."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, D, 14, 14) -> (n, 1 + classes, 28, 28)."""
        return super().forward(x).float()


def proposals(heads: Heads, strides: list[int]) -> RegionProposalNetwork:
    """What proposes boxes, whatever is in them."""
    return RegionProposalNetwork(
        Anchors(strides, heads.anchor),
        Proposing(heads.channels, len(RATIOS), heads.rpn_convs),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_top_n={"training": 2000, "testing": 1000},
        post_nms_top_n={"training": heads.proposals, "testing": heads.proposals},
        nms_thresh=0.7,
    )


def regions(heads: Heads, classes: int, strides: list[int]) -> RoIHeads:
    """What names the boxes that were proposed, and shows the pixels of what is in them.

    It looks at maps of these strides.
    """
    names, width = [str(level) for level in range(len(strides))], heads.channels

    def pool(side: int) -> MultiScaleRoIAlign:
        made = MultiScaleRoIAlign(names, side, sampling_ratio=0)
        # Else it would guess them from the first picture it sees, padding and all, for all others.
        made.scales = [1 / stride for stride in strides]
        made.map_levels = initLevelMapper(*(int(math.log2(s)) for s in (strides[0], strides[-1])))
        return made

    box = FastRCNNConvFCHead(
        (width, 7, 7), [width] * heads.box_convs, [heads.box_width], LayerNorm2d
    )
    parts: dict[str, nn.Module] = {}
    if heads.masks:
        parts["mask_roi_pool"] = pool(14)
        parts["mask_head"] = MaskRCNNHeads(width, [width] * heads.mask_convs, 1, LayerNorm2d)
        parts["mask_predictor"] = Showing(width, width, 1 + classes)
    return RoIHeads(
        pool(7),
        box,
        Naming(heads.box_width, 1 + classes),
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=heads.samples,
        positive_fraction=0.25,
        bbox_reg_weights=(10.0, 10.0, 5.0, 5.0),
        score_thresh=heads.min_score,
        nms_thresh=heads.nms,
        detections_per_img=heads.most,
        **parts,
    )
