import numpy as np
import pytest

from maskedae.windows import cut


@pytest.mark.parametrize("length", [1.0, 1.0004, 2.0, 2.0005, 2.05, 2.9, 3.3, 60.0])
@pytest.mark.parametrize("hop", [0.3, 1.0, 1.7])
def test_windows_have_one_length_and_end_with_the_film(length, hop):
    starts, ends = np.array(cut(length, 1.0, hop)).T
    np.testing.assert_allclose(ends - starts, 1.0)
    assert starts[0] <= 0.001 and ends[-1] == length
    assert starts[:-1].tolist() == [number * hop for number in range(len(starts) - 1)]
    gaps = np.diff(starts)
    assert (gaps > 0).all() and (gaps < hop + 0.0011).all()


def test_no_window_is_left_for_what_is_but_rounding():
    assert len(cut(2.0005, 1.0, 1.0)) == 2
    assert cut(0.4, 1.0, 1.0) == [(0.0, 0.4)]
