import numpy as np
import pytest

from maskedae.data import BadSample
from maskedae.listing import open_splits
from maskedae.scanning import Wanted
from maskedae.windows import cut, cut_all


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


def test_windows_have_the_labels_of_their_files(tmp_path):
    for name in ("a/1.wav", "b/2.wav", "b/bad.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    listing = open_splits(str(tmp_path), Wanted(frozenset({".wav"}), lambda head: False)).train

    def seconds(path):
        if path.endswith("bad.wav"):
            raise BadSample("bad")
        return 2.5

    windows = cut_all(listing, seconds, 1.0, 1.0)
    assert windows.files.tolist() == [0, 0, 0, 1, 1, 1, 2]
    assert windows.labels.tolist() == [0, 0, 0, 1, 1, 1, 1] and windows.shares == [(7, 1.0)]
    assert windows.spans[-2:].tolist() == [[1.5, 2.5], [0.0, 1.0]]
    others = cut_all(listing, seconds, 1.0, 0.5)
    prints = {listing.fingerprint, windows.fingerprint, others.fingerprint}
    assert len(prints) == 3 and cut_all(listing, seconds, 1.0, 1.0).fingerprint in prints
