import numpy as np
import pytest

from maskedae.datasets.films.moments import Moments, within

STEADY = np.arange(100) / 25
# 25 frames per second for a second, then 5, then 12.5.
UNSTEADY = np.cumsum([0.0] + [0.04] * 25 + [0.2] * 5 + [0.08] * 12)


def low(frames):
    return np.zeros(frames)


def high(frames):
    return np.full(frames, np.nextafter(1, 0))


def views(moments, times, count):
    return [moments.view(times, number, count).tolist() for number in range(count)]


def test_strides_are_exact_from_the_first_start_to_the_last():
    moments = Moments(16, stride=4)
    assert moments.draw(STEADY, low(16)).tolist() == list(range(0, 64, 4))
    assert moments.draw(STEADY, high(16)).tolist() == list(range(39, 100, 4))


def test_all_starts_are_equally_likely():
    chances = np.zeros((1000, 2))
    chances[:, 0] = np.arange(1000) / 1000
    starts = [Moments(2, stride=5).draw(STEADY[:10], row)[0] for row in chances]
    assert np.bincount(starts).tolist() == [200] * 5


def test_a_film_as_long_as_the_clip_has_one_start():
    moments = Moments(4, stride=3)
    for chances in (low(4), high(4)):
        assert moments.draw(STEADY[:10], chances).tolist() == [0, 3, 6, 9]
    assert views(moments, STEADY[:10], 2) == [[0, 3, 6, 9]] * 2


def test_a_short_film_holds_its_last_frame():
    moments = Moments(5, stride=2)
    assert moments.draw(STEADY[:6], high(5)).tolist() == [0, 2, 4, 5, 5]
    assert moments.view(STEADY[:6], 1, 3).tolist() == [0, 2, 4, 5, 5]
    assert moments.view(STEADY[:1]).tolist() == [0] * 5


def test_views_are_spread_from_the_start_on():
    moments = Moments(4, stride=2)
    assert views(moments, STEADY[:20], 1) == [[6, 8, 10, 12]]
    assert views(moments, STEADY[:20], 3) == [[0, 2, 4, 6], [6, 8, 10, 12], [12, 14, 16, 18]]
    # 14 starts, 0 to 13: a whole number of frames lies between two views.
    assert [view[0] for view in views(moments, STEADY[:20], 5)] == [0, 3, 6, 9, 12]


def test_intervals_do_not_depend_on_the_rate():
    moments = Moments(4, interval=0.2)
    assert moments.draw(STEADY, low(4)).tolist() == [0, 5, 10, 15]
    assert moments.draw(np.arange(100) / 50, low(4)).tolist() == [0, 10, 20, 30]
    assert moments.draw(np.arange(100) / 30, low(4)).tolist() == [0, 6, 12, 18]
    assert moments.draw(np.arange(100) / 7, low(4)).tolist() == [0, 1, 3, 4]  # the nearest
    assert moments.draw(STEADY, high(4)).tolist() == [84, 89, 94, 99]


@pytest.mark.parametrize(
    "times",
    [
        np.arange(300) / 30,
        np.round(np.arange(300) / 30, 3),  # as Matroska has them
        np.round(np.arange(7, 307) / 30, 3) - 0.233,
        np.arange(300) * 1001 / 30000,
    ],
)
def test_rounded_time_stamps_leave_intervals_regular(times):
    moments = Moments(16, interval=4 / 30)
    starts = (np.arange(240) + 0.5) / 240
    clips = np.stack([moments.draw(times, np.full(16, start)) for start in starts])
    assert (np.diff(clips) == 4).all()
    assert clips[:, 0].tolist() == list(range(240)) and clips[-1, -1] == 299


def test_of_two_equally_near_frames_it_is_the_earlier():
    for times in (STEADY, np.round(np.arange(7, 107) / 25, 3) - 0.28):
        chosen = Moments(6, interval=0.1).draw(times, low(6))
        assert chosen.tolist() == [0, 2, 5, 7, 10, 12]


def test_intervals_follow_frames_that_are_shown_longer():
    assert UNSTEADY[[25, 30]].round(2).tolist() == [1.0, 2.0]
    moments = Moments(4, interval=0.4)
    assert moments.draw(UNSTEADY, low(4)).tolist() == [0, 10, 20, 26]
    assert moments.draw(UNSTEADY, high(4)).tolist() == [28, 30, 35, 40]
    assert Moments(3, interval=5.0).draw(UNSTEADY, high(3)).tolist() == [0, 42, 42]


def test_segments_take_one_frame_of_each_part():
    moments = Moments(4, segments=True)
    assert moments.draw(STEADY[:40], low(4)).tolist() == [0, 10, 20, 30]
    assert moments.draw(STEADY[:40], high(4)).tolist() == [9, 19, 29, 39]
    assert views(moments, STEADY[:40], 1) == [[5, 15, 25, 35]]
    assert views(moments, STEADY[:40], 2) == [[2, 12, 22, 32], [7, 17, 27, 37]]
    assert moments.draw(STEADY[:2], high(4)).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    "window, frames",
    [
        ((1.0, 2.0), (25, 50)),
        ((1.01, 1.99), (26, 50)),
        ((1.0009, 1.9609), (25, 49)),  # rounded
        ((0.0, 99.0), (0, 100)),
        ((1.01, 1.02), (25, 26)),  # between two frames: the one that is shown
        ((2.0, 2.0), (50, 51)),
        ((50.0, 60.0), (99, 100)),
    ],
)
def test_windows_hold_a_frame_at_least(window, frames):
    assert within(STEADY, window) == frames


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"stride": 0}, {"interval": 0.0}])
def test_what_makes_no_clip_is_refused(wrong):
    with pytest.raises(ValueError):
        Moments(**{"frames": 4, **wrong})
