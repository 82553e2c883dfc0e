import numpy as np
import pytest
import torch

from maskedae.drawn_boxes import candidates, colour, draw_boxes, touches

GRAY = torch.full((3, 120, 200), 128, dtype=torch.uint8)
CLASSES = ["cell", "plate"]


def test_edges_lie_on_the_pixels_of_the_box_and_nothing_else_changes():
    box = torch.tensor([[20.0, 40, 80, 90]])
    drawn = draw_boxes(GRAY, box, torch.tensor([1]), CLASSES)
    shade = torch.tensor(colour(1), dtype=torch.uint8)
    for y, x in [(40, 20), (40, 79), (89, 20), (89, 79), (60, 20), (89, 50)]:
        assert drawn[:, y, x].equal(shade)
    changed = (drawn != GRAY).any(0)
    assert not changed[41:89, 21:79].any() and not changed[90:].any() and not changed[:, 81:].any()
    assert changed[:40, 20:80].any()  # the name stands above
    assert drawn.shape == GRAY.shape and drawn.dtype == torch.uint8 and GRAY.eq(128).all()


def test_scores_are_written_and_classes_have_colours_of_their_own():
    box, label = torch.tensor([[20.0, 40, 80, 90]]), torch.tensor([0])
    plain = draw_boxes(GRAY, box, label, CLASSES)
    scored = draw_boxes(GRAY, box, label, CLASSES, scores=torch.tensor([0.5]))
    assert not plain.equal(scored)
    colours = [colour(label) for label in range(80)]
    assert len(set(colours)) == 80
    first = torch.tensor(colours[:8]).float()
    assert torch.cdist(first, first).fill_diagonal_(999).min() > 60


def test_masks_tint_what_they_cover():
    mask = torch.zeros(1, 120, 200)
    mask[0, 50:80, 30:70] = 0.9
    mask[0, 82:86, 30:70] = 0.1
    box, label = torch.tensor([[20.0, 40, 80, 90]]), torch.tensor([0])
    drawn = draw_boxes(GRAY, box, label, CLASSES, masks=mask)
    assert (drawn[:, 60, 50] != 128).all() and (drawn[:, 84, 50] == 128).all()
    assert drawn.equal(draw_boxes(GRAY, box, label, CLASSES, masks=mask > 0.5))


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (30, 500), (1500, 20), (2000, 3000)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_and_nasty_boxes(size, channels):
    picture = torch.zeros(channels, *size, dtype=torch.uint8)
    nan, inf = float("nan"), float("inf")
    boxes = [[-50, -50, 9999, 9999], [5, 5, 5, 5], [9, 9, 2, 2], [nan, 0, inf, 3], [-9, -9, -1, -1]]
    names = ["a\nb" * 40, "细胞", "\udcff", "", " "]
    drawn = draw_boxes(picture, torch.tensor(boxes), torch.arange(5), names, torch.rand(5))
    assert drawn.shape == (3, *size) and drawn.any()


def test_nothing_to_draw():
    none = torch.empty(0, 4), torch.empty(0, dtype=torch.int64)
    masks = torch.empty(0, 120, 200, dtype=torch.bool)
    assert draw_boxes(GRAY, *none, CLASSES, torch.empty(0), masks).equal(GRAY)


def test_names_do_not_fill_small_pictures():
    boxes, labels = torch.tensor([[20.0, 20, 30, 30], [40, 40, 110, 110]]), torch.tensor([0, 1])
    changed = (draw_boxes(GRAY, boxes, labels, ["a long name", "b"]) != GRAY).any(0)
    assert changed[:, :40].sum() == 4 * 9  # an edge, and no name
    assert changed[:40, 40:].any()


def test_names_avoid_each_other_and_stay_inside():
    spots = np.array(candidates((190, 2, 199, 60), 60, 12, (200, 120)))
    assert spots.min() >= 0 and spots[:, 2].max() < 200 and spots[:, 3].max() < 120
    assert touches(spots[0], spots[:1]) and not touches(spots[0], spots[:0])
