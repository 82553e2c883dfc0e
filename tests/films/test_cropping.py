import pytest
import torch

from maskedae.datasets.films.cropping import MultiScaleCrop, thirteen, views


def numbered(height, width, frames=2):
    """A clip whose first channel tells the row, whose second the column."""
    clip = torch.zeros(frames, 3, height, width, dtype=torch.uint8)
    clip[:, 0] = torch.linspace(0, 255, height)[:, None].round().byte()
    clip[:, 1] = torch.linspace(0, 255, width).round().byte()
    return clip


def test_views_lie_along_the_longer_side():
    left, middle, right = views(numbered(20, 60), (20, 20), 3)
    assert [int(v[0, 1].float().mean()) // 10 for v in (left, middle, right)] == [4, 12, 21]
    top, middle, bottom = views(numbered(60, 20), (20, 20), 3)
    assert [int(v[0, 0].float().mean()) // 10 for v in (top, middle, bottom)] == [4, 12, 21]
    assert all(v.shape == (2, 3, 20, 20) for v in (left, top, right, bottom))


def test_one_view_is_the_middle():
    (view,) = views(numbered(20, 60), (20, 20), 1)
    assert view.equal(views(numbered(20, 60), (20, 20), 3)[1])
    (inner,) = views(numbered(40, 40), (20, 20), 1, share=0.5)
    assert inner.equal(numbered(40, 40)[..., 10:30, 10:30])


@pytest.mark.parametrize("size", [(16, 16), (32, 16), (17, 33)])
@pytest.mark.parametrize("sides", [(1, 1), (1, 500), (7, 3), (48, 64), (300, 20)])
def test_views_of_any_film(sides, size):
    for count in (1, 3):
        found = views(numbered(*sides), size, count)
        assert [v.shape for v in found] == [(2, 3, *size)] * count


def test_fixed_crops_take_thirteen_places_and_near_sides():
    clip = numbered(64, 64)
    crop = MultiScaleCrop((64, 64), [1.0, 0.5])
    torch.manual_seed(0)
    seen = set()
    for _ in range(600):
        cut = crop(clip)
        assert cut.shape == clip.shape and cut[0].equal(cut[1])
        low, high = (cut[0, :2].flatten(1).float().quantile(q, dim=1) for q in (0.0, 1.0))
        seen.add(tuple(torch.cat([low, high]).div(16).round().int().tolist()))
    # Of the whole 1, 5 each where one side is whole (ends, quarters, centre), 13 where none is.
    assert len(seen) == 1 + 5 + 5 + 13
    assert len(set(thirteen())) == 13
