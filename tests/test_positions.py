import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from maskedae.codes import resample, sincos
from maskedae.positions import FixedPositions, Positions, SeparablePositions, WindowPositions


@pytest.mark.parametrize("grid", [(7,), (3, 5), (2, 3, 4)])
def test_every_patch_has_its_own_code(grid):
    table = sincos(grid, 48)
    assert table.shape == (torch.Size(grid).numel(), 48)
    assert (torch.cdist(table, table) + torch.eye(len(table)) > 0.1).all()


def test_first_half_is_the_column_on_any_aspect():
    table = sincos((3, 5), 16).view(3, 5, 16)
    assert (table[:, :, :8] == table[:1, :, :8]).all()
    assert (table[:, :, 8:] == table[:, :1, 8:]).all()
    assert_close(table[0, :, 0], torch.arange(5.0).sin())
    assert_close(table[:, 0, 8], torch.arange(3.0).sin())


def test_widths_that_do_not_divide_end_in_zeros():
    assert (sincos((2, 2, 2), 16)[:, 12:] == 0).all()


def test_resampling_is_the_published_bicubic_resize():
    table = torch.randn(14 * 14, 8)
    picture = table.T.reshape(1, 8, 14, 14)
    expected = F.interpolate(picture, (10, 21), mode="bicubic", align_corners=False)
    assert_close(resample(table, (14, 14), (10, 21)), expected.flatten(2)[0].T, atol=1e-5, rtol=0)


def test_resampling_three_axes_keeps_what_is_constant():
    table = torch.ones(2 * 3 * 4, 5)
    assert_close(resample(table, (2, 3, 4), (4, 3, 2)), torch.ones(24, 5))


def test_other_number_of_axes_is_refused():
    with pytest.raises(ValueError, match="3 axes"):
        resample(torch.ones(8, 4), (2, 2, 2), (4, 4))


def test_rows_of_chosen_patches():
    places = Positions.sincos((3, 4), 16, prefix=1)
    index = torch.tensor([[5, 0], [11, 2]])
    assert places(index).equal(sincos((3, 4), 16)[index])
    assert places().shape == (1, 12, 16) and (places.prefixed() == 0).all()
    assert not places.table.requires_grad


def test_learned_positions_learn():
    places = Positions.learned((3, 4), 16, prefix=1)
    places(torch.tensor([[5]])).sum().backward()
    touched = places.table.grad[0].abs().sum(1).nonzero().flatten()
    assert touched.tolist() == [6]  # after the row of the prefix


def test_places_in_time_are_stretched_along_lines():
    few, more = SeparablePositions((2, 3, 3), 4), SeparablePositions((4, 3, 3), 4)
    tables = {**dict(few.named_parameters()), "along": torch.tensor([0.0, 1.0]).view(1, 2, 1)}
    assert more.stretch(tables, few.grid)["along"].flatten().tolist() == [0, 0.25, 0.75, 1]
    assert more.told(few.grid) == "time 2 -> 4, linear"


@pytest.mark.parametrize("swapped", [False, True])
def test_fixed_positions_of_a_shorter_signal_are_the_first(swapped):
    long, short = (FixedPositions((slots, 4), 16, 1, swapped) for slots in (8, 5))
    tables = {"table": torch.cat([torch.full((1, 1, 16), 7.0), long.table[:, 1:]], dim=1)}
    fitted = short.stretch(tables, (8, 4))["table"]
    assert fitted.equal(tables["table"][:, : 1 + 5 * 4])
    assert short.told((8, 4)) == "first axis 8 -> 5, the first are kept"


def test_fixed_positions_of_other_bands_are_those_between():
    """Along the axis of bands alone: no slot takes from another."""
    few, more = FixedPositions((3, 4), 16), FixedPositions((3, 8), 16)
    before = few.table.view(3, 4, 16)
    fitted = more.stretch({"table": few.table}, (3, 4))["table"].view(3, 8, 16)
    for slot in range(3):
        assert_close(fitted[slot], resample(before[slot], (4,), (8,)))
    assert_close(fitted[:, :, 8:], before[:, :1, 8:].expand(3, 8, 8))  # the half that tells slots
    assert more.told((3, 4)) == "others (4,) -> (8,), cubic"


def test_fixed_positions_of_a_longer_signal_are_those_between():
    few, more = FixedPositions((3, 4), 16), FixedPositions((6, 4), 16)
    fitted = more.stretch({"table": few.table}, (3, 4))["table"].view(6, 4, 16)
    for band in range(4):
        lines = resample(few.table.view(3, 4, 16)[:, band], (3,), (6,))
        assert_close(fitted[:, band], lines)
    both = FixedPositions((6, 2), 16)
    assert both.told((3, 4)) == "first axis 3 -> 6, cubic; others (4,) -> (2,), cubic"


@pytest.mark.parametrize("swapped", [False, True])
def test_fixed_positions_are_one_for_each_patch_in_either_order(swapped):
    places = FixedPositions((6, 4), 32, 1, swapped)
    assert places.table[0, 1:].equal(sincos((4, 6) if swapped else (6, 4), 32))
    assert (torch.cdist(places()[0], places()[0]) + torch.eye(24) > 0.1).all()
    assert not list(places.parameters()) and list(places.state_dict()) == ["table"]


def stretched(table, size):
    """A table of places in a plane over more of them, as pictures are resized."""
    return F.interpolate(table, size, mode="bicubic", antialias=True)


@pytest.mark.parametrize("grid", [(8, 12), (4, 4), (12, 4)])
def test_places_in_units_and_in_the_signal_add_up(grid):
    places = WindowPositions(grid, (4, 4), 6)
    assert places.table.shape == (1, 6, grid[0] // 2, grid[1] // 2)
    whole = stretched(places.table, grid).view(6, grid[0] // 4, 4, grid[1] // 4, 4)
    expected = (whole + places.tile.view(6, 1, 4, 1, 4)).flatten(1).T
    assert_close(places()[0], expected, atol=1e-6, rtol=1e-5)
    index = torch.tensor([[7, 0], [13, 2]])
    assert_close(places(index), places()[0][index])
    assert places.prefixed().shape == (1, 0, 6)


def test_places_in_units_learn_in_all_of_them():
    places = WindowPositions((8, 8), (4, 4), 6)
    places(torch.tensor([[9 * 4 + 1]])).sum().backward()  # row 4, column 5
    assert places.tile.grad[0].abs().sum(0).nonzero().tolist() == [[0, 1]]
    assert places.table.grad.abs().sum() > 0


def test_frames_have_codes_of_their_own():
    places = WindowPositions((3, 8, 4), (1, 4, 4), 6)
    flat = WindowPositions((8, 4), (4, 4), 6)
    flat.load_state_dict({"table": places.table, "tile": places.tile})
    rows = places().view(3, 32, 6)
    for frame in range(3):
        assert_close(rows[frame], flat()[0] + places.along[0, frame])
    assert flat.along is None and list(flat.state_dict()) == ["table", "tile"]


@pytest.mark.parametrize("grid", [(16, 16), (16, 24), (4, 8)])
def test_places_in_units_are_the_same_in_a_signal_of_another_size(grid):
    few, other = WindowPositions((8, 8), (4, 4), 6), WindowPositions(grid, (4, 4), 6)
    fitted = other.stretch(few.state_dict(), few.grid)
    assert fitted["tile"].equal(few.tile)
    expected = stretched(few.table, (grid[0] // 2, grid[1] // 2))
    assert_close(fitted["table"], expected, atol=1e-6, rtol=1e-5)
    other.load_state_dict(fitted)
    assert other.told(few.grid) == "bicubic, those within mask units as they are"


def test_places_in_time_and_in_frames_are_stretched_apart():
    few, more = WindowPositions((2, 8, 8), (1, 4, 4), 4), WindowPositions((4, 8, 8), (1, 4, 4), 4)
    tables = few.state_dict() | {"along": torch.tensor([0.0, 1.0]).view(1, 2, 1).expand(1, 2, 4)}
    fitted = more.stretch(tables, few.grid)
    assert_close(fitted["table"], few.table.data) and fitted["tile"].equal(few.tile)
    assert fitted["along"][0, :, 0].tolist() == [0, 0.25, 0.75, 1]
    assert more.told(few.grid).startswith("time 2 -> 4, linear; bicubic")


def test_frames_of_a_film_begin_as_an_image():
    image = WindowPositions((8, 8), (4, 4), 6)
    film = WindowPositions((3, 8, 8), (1, 4, 4), 6)
    film.load_state_dict(film.begin(image.state_dict(), image.grid))
    assert_close(film().view(3, 64, 6), image().expand(3, -1, -1))
