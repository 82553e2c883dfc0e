import pytest

from maskedae.budget import TooManyBad, check_budget


def bad(count):
    return {f"{number}.jpg": "broken" for number in range(count)}


@pytest.mark.parametrize(
    ("count", "drawn", "samples", "share"),
    [(8, 64, 10_000, 0.05), (500, 20_000, 10_000, 0.05), (0, 64, 100, 0.0), (100, 0, 100, 1.0)],
)
def test_within(count, drawn, samples, share):
    check_budget(bad(count), drawn, samples, share)


@pytest.mark.parametrize(
    ("count", "drawn", "samples", "share"),
    [(14, 64, 10_000, 0.05), (501, 20_000, 10_000, 0.05), (1, 64, 100, 0.0), (60, 8, 100, 0.5)],
)
def test_beyond(count, drawn, samples, share):
    with pytest.raises(TooManyBad, match="0.jpg: broken"):
        check_budget(bad(count), drawn, samples, share)
