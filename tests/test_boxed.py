"""Pictures with boxes that travel as few tensors."""

import pickle

import pytest
import torch
from torchvision.models.detection.roi_heads import project_masks_on_boxes

from maskedae.boxed import Boxed, Found, Truth
from maskedae.pairs import stack_views


def some(sides: list[tuple[int, int]], counts: list[int], masks: bool) -> Boxed:
    pictures = [torch.randint(256, (3, *side), dtype=torch.uint8) for side in sides]
    truths = []
    for (h, w), n in zip(sides, counts, strict=True):
        mask = torch.rand(n, h, w) > 0.5 if masks else None
        truths.append(Truth(torch.rand(n, 4), torch.randint(5, (n,)), mask))
    return Boxed.pack(pictures, truths, [(9, 9)] * len(sides))


def test_what_is_packed_and_stacked_comes_out_as_it_was() -> None:
    for masks in (False, True):
        parts = [some([(4, 6)], [3], masks), some([(5, 2)], [0], masks), some([(1, 1)], [1], masks)]
        whole = stack_views(parts)
        assert len(whole) == 3 and whole.sizes.tolist() == [[9, 9]] * 3
        whole = pickle.loads(pickle.dumps(whole)).to("cpu")
        for part, picture, truth in zip(parts, whole.pictures, whole.truths, strict=True):
            assert torch.equal(part.pictures[0], picture)
            (before,) = part.truths
            assert torch.equal(before.boxes, truth.boxes)
            assert torch.equal(before.labels, truth.labels)
            assert (before.masks is None) == (truth.masks is None)
            assert before.masks is None or torch.equal(before.masks, truth.masks)


@pytest.mark.parametrize(("canvas", "file"), [((60, 80), (60, 80)), ((60, 80), (96, 128))])
@pytest.mark.parametrize("radius", [8.0, 20.0])
def test_a_mask_that_was_learned_is_pasted_where_it_was(
    canvas: tuple[int, int], file: tuple[int, int], radius: float
) -> None:
    factor = file[0] / canvas[0]
    centre = torch.tensor([37.3, 30.8])

    def disc(size: tuple[int, int], factor: float) -> torch.Tensor:
        rows, columns = (torch.arange(side) + 0.5 for side in size)
        far = (rows[:, None] / factor - centre[1]) ** 2 + (columns / factor - centre[0]) ** 2
        return far < radius**2

    boxes = torch.cat([centre - radius, centre + radius])[None]
    truth = disc(canvas, 1.0)[None].float()
    learned = project_masks_on_boxes(truth, boxes, torch.zeros(1, dtype=torch.int64), 28)
    detector_frames = boxes * factor + factor / 2
    found = Found(boxes * factor, *torch.zeros(2, 1), learned, detector_frames)
    (pasted,) = found.pasted(file)
    wanted = disc(file, factor)
    assert (pasted & wanted).sum() / (pasted | wanted).sum() > 0.95


def test_only_what_is_sure_stays() -> None:
    found = Found(torch.rand(3, 4), torch.arange(3), torch.tensor([0.9, 0.5, 0.1]))
    kept = found.over(0.5)
    assert kept.labels.tolist() == [0, 1] and kept.masks is None and len(kept.boxes) == 2
