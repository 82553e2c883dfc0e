import os
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import numbered  # noqa: E402

from maskedae.datasets.films import keeping  # noqa: E402
from maskedae.datasets.films.film import Refused  # noqa: E402
from maskedae.datasets.films.keeping import Keeper  # noqa: E402
from maskedae.datasets.films.moments import Moments  # noqa: E402
from maskedae.datasets.films.reading import Order, read_clips  # noqa: E402


@pytest.fixture
def films(tmp_path):
    return [numbered.write(tmp_path / f"{n}.mp4", frames=50, g=12, bf=3) for n in range(2)]


@pytest.fixture
def opened(monkeypatch):
    """What is opened and closed, in turn."""
    log, real = [], keeping.film_of

    def film_of(order):
        film, name = real(order), Path(order.path).stem
        close = film.close
        film.close = lambda: (log.append(f"{name} closed"), close())
        log.append(name)
        return film

    monkeypatch.setattr(keeping, "film_of", film_of)
    return log


def windows(path):
    return [Order(path, Moments(4, stride=2), window=(n / 4, n / 4 + 0.5)) for n in range(6)]


def test_windows_of_one_film_share_it(films, opened):
    keeper = Keeper()
    for order in windows(films[0]) + windows(films[1]):
        found, alone = keeper.clips(order), read_clips(order)
        assert all(np.array_equal(a, b) for a, b in zip(found, alone, strict=True))
    assert opened == ["0", "0 closed", "1"]


def test_another_way_to_open_it_is_another_film(films, opened):
    keeper = Keeper()
    keeper.clips(Order(films[0], Moments(4)))
    keeper.clips(Order(films[0], Moments(4), decoder="pyav"))
    keeper.clips(Order(films[0], Moments(4), decoder="pyav", frame_rate=10.0))
    assert opened == ["0", "0 closed", "0", "0 closed", "0"]


def test_a_film_that_has_changed_is_opened_again(films, opened):
    keeper, order = Keeper(), Order(films[0], Moments(1))
    assert numbered.numbers(keeper.clips(order).pixels) == [24]
    numbered.write(films[0], frames=20)
    assert numbered.numbers(keeper.clips(order).pixels) == [9]
    os.utime(films[0], (0, 0))
    keeper.clips(order)
    os.remove(films[0])
    with pytest.raises(Refused, match="No such file"):
        keeper.clips(order)
    assert opened == ["0", "0 closed"] * 3


def test_a_film_is_closed_after_an_error(films, opened, monkeypatch):
    keeper, order = Keeper(), Order(films[0], Moments(4))
    keeper.clips(order)
    monkeypatch.setattr(keeper.film, "frames", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        keeper.clips(order)
    assert keeper.film is None and opened == ["0", "0 closed"]
    keeper.clips(order)
    keeper.film.lost = 1
    keeper.clips(order)
    assert keeper.film is None
