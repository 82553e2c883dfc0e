"""Boxes stay on what they are around, whatever becomes of the picture."""

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import resize
from torchvision.tv_tensors import Mask

from maskedae.box_views import Fit, Jitter, sampled
from maskedae.boxed import Truth

COLOURS = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255]], dtype=torch.uint8)


def painted(height, width, boxes):
    """A black picture, and its truth with masks, where every box has a colour of its own."""
    picture = torch.zeros(3, height, width, dtype=torch.uint8)
    masks = torch.zeros(len(boxes), height, width, dtype=torch.bool)
    for colour, mask, (left, top, right, bottom) in zip(COLOURS, masks, boxes, strict=False):
        picture[:, top:bottom, left:right] = colour.view(3, 1, 1)
        mask[top:bottom, left:right] = True
    return picture, Truth(torch.tensor(boxes).float(), torch.arange(len(boxes)), masks)


def covered(picture, label):
    """The box around what is of the colour of a label, edges by interpolation; None if nothing."""
    inside = picture[label].float() / 255
    rows, columns = inside.amax(1), inside.amax(0)
    if rows.max() < 0.9 or columns.max() < 0.9:
        return None
    places = []
    for line in (columns, rows):
        full = (line > 0.5).nonzero().flatten()
        places.append((full[0].item(), full[-1].item() + 1))
    (left, right), (top, bottom) = places
    return torch.tensor([left, top, right, bottom]).float()


def random_boxes():
    """Three boxes that do not touch each other, on a picture of chance."""
    height, width = torch.randint(60, 200, (2,)).tolist()
    third, boxes = width // 3, []
    for number in range(3):
        left, top = (
            torch.randint(0, third // 3, ()).item(),
            torch.randint(0, height // 3, ()).item(),
        )
        right = torch.randint(third // 2, third - 2, ()).item()
        bottom = torch.randint(height // 2, height + 1, ()).item()
        boxes.append((number * third + left, top, number * third + right, bottom))
    return height, width, boxes


@pytest.mark.parametrize("masked", [True, False])
def test_boxes_stay_on_their_pixels(masked):
    seen = 0
    for _ in range(60):
        height, width, boxes = random_boxes()
        picture, truth = painted(height, width, boxes)
        truth = truth if masked else truth._replace(masks=None)
        canvas = tuple(torch.randint(48, 160, (2,)).tolist())
        view = Jitter(canvas, (0.3, 2.0), 0.5)
        changed, after = view(picture, truth)
        assert changed.shape[1] <= canvas[0] and changed.shape[2] <= canvas[1]
        assert changed.dtype == torch.uint8 and type(changed) is torch.Tensor
        assert type(after.boxes) is torch.Tensor and after.boxes.dtype == torch.float32
        sides = torch.tensor(changed.shape[:0:-1]).repeat(2)
        assert (after.boxes >= 0).all() and (after.boxes <= sides).all()
        for row, label in enumerate(after.labels.tolist()):
            found = covered(changed, label)
            if found is None:
                continue  # a strip too thin to be seen
            seen += 1
            assert (found - after.boxes[row]).abs().max() <= 1.01
            if masked:
                mask = after.masks[row]
                bright = changed[label] > 127
                assert mask.shape == changed.shape[1:] and (mask != bright).float().mean() < 0.05
        visible = {label for label in range(3) if covered(changed, label) is not None}
        large = {
            label
            for label in visible
            if (covered(changed, label)[2:] - covered(changed, label)[:2]).min() > 2
        }
        assert large <= set(after.labels.tolist())  # nothing is lost
    assert seen > 100


def test_what_fits_keeps_its_aspect_and_loses_nothing():
    for canvas in [(64, 64), (30, 90), (256, 128)]:
        picture, truth = painted(50, 100, [(10, 10, 30, 40), (99, 49, 100, 50)])
        changed, after = Fit(canvas)(picture, truth)
        times = min(canvas[0] / 50, canvas[1] / 100)
        assert changed.shape == (3, round(50 * times), round(100 * times))
        torch.testing.assert_close(after.boxes, truth.boxes * times, atol=1e-4, rtol=0.02)
        assert after.labels.equal(truth.labels) and len(after.masks) == 2
    same, truth = Fit((50, 100))(picture, truth)
    assert same.equal(picture)


def test_sizes_are_drawn_evenly_and_half_are_mirrored():
    picture, truth = painted(100, 100, [(0, 0, 20, 100)])
    views = [Jitter((100, 100), (0.1, 2.0), 0.5)(picture, truth) for _ in range(400)]
    sides = torch.tensor([changed.shape[1] for changed, _ in views]).float()
    assert sides.min() < 15 and sides.max() == 100
    assert abs((sides == 100).float().mean() - 1 / 1.9) < 0.08  # those of scale 1 to 2
    small = [(c, t) for c, t in views if c.shape[1] < 95]
    left = torch.tensor([t.boxes[0, 0] < 1 for _, t in small if len(t.boxes)]).float().mean()
    assert abs(left - 0.5) < 0.12


def test_chance_is_that_of_torch():
    picture, truth = painted(80, 60, [(5, 5, 50, 50)])
    view = Jitter((64, 64), (0.5, 2.0), 0.5)
    torch.manual_seed(3)
    first = view(picture, truth)
    second = view(picture, truth)
    torch.manual_seed(3)
    again = view(picture, truth)
    assert first[0].equal(again[0]) and first[1].boxes.equal(again[1].boxes)
    assert first[0].shape != second[0].shape or not first[0].equal(second[0])


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 2), (7, 5)])
@pytest.mark.parametrize("masked", [True, False])
def test_any_size_and_nothing_on_it(size, masked):
    masks = torch.zeros(0, *size, dtype=torch.bool) if masked else None
    nothing = Truth(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), masks)
    picture = torch.zeros(1, *size, dtype=torch.uint8)
    for view in (Fit((64, 32)), Jitter((64, 32), (0.1, 2.0), 0.5)):
        for _ in range(5):
            changed, after = view(picture, nothing)
            assert min(changed.shape) >= 1 and changed.shape[1] <= 64 and changed.shape[2] <= 32
            assert after.boxes.shape == (0, 4) and after.labels.shape == (0,)


def test_masks_are_those_of_torchvision():
    for _ in range(200):
        before, size = (tuple(torch.randint(1, 90, (2,)).tolist()) for _ in range(2))
        corner = tuple(int(torch.randint(side, ())) for side in size)
        crop = tuple(side - start for side, start in zip(size, corner, strict=True))
        masks = torch.rand(3, *before) < 0.5
        whole = resize(Mask(masks), list(size), interpolation=InterpolationMode.NEAREST_EXACT)
        expected = whole[:, corner[0] :, corner[1] :]
        assert sampled(masks, size, corner, crop).equal(expected.as_subclass(torch.Tensor))


def test_masks_of_many_things_are_cropped_before_they_grow():
    picture, truth = painted(40, 40, [(0, 0, 40, 40)])
    truth = Truth(*(torch.cat([part] * 5) for part in truth))
    largest = []

    class Watch(TorchFunctionMode):
        def __torch_function__(self, function, types, arguments=(), options=None):
            made = function(*arguments, **(options or {}))
            largest.append(made.nbytes if isinstance(made, torch.Tensor) else 0)
            return made

    with Watch():
        changed, after = Jitter((40, 40), (8.0, 8.0), 0.0)(picture, truth)
    assert changed.shape == (3, 40, 40) and after.masks.all() and len(after.masks) == 5
    assert max(largest) <= 3 * 320 * 320  # the picture; of masks it would be 5 x 320 x 320


def test_what_a_crop_leaves_of_a_mask_is_boxed_anew():
    picture, truth = painted(100, 100, [(0, 0, 100, 100)])
    truth.masks[0] = False
    truth.masks[0, :40, :30] = True
    for _ in range(20):
        _, after = Jitter((100, 100), (2.0, 2.0), 0.0)(picture, truth)
        for box, mask in zip(after.boxes, after.masks, strict=True):
            rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
            expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert box.tolist() == [float(side) for side in expected]
