"""Ranks of counterparts: by hand, by brute force, and where all vectors are the same."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from maskedae import retrieval
from maskedae.retrieval import Places, both_ways, chance, measure, nearest


def at(*degrees):
    """Vectors of a plane, by their directions and of any lengths."""
    angles = torch.tensor(degrees).deg2rad()
    lengths = torch.arange(1.0, len(degrees) + 1)[:, None]
    return torch.stack([angles.cos(), angles.sin()], dim=1) * lengths


def test_places_by_hand():
    by_audio, by_video = both_ways(at(0.0, 40.0, 90.0), at(10.0, 80.0, 50.0))
    # From 0: 10, 50, 80. From 40: 50 (10 off), 10 (30 off), 80. From 90: 80, 50, 10.
    assert by_audio.ranks.tolist() == [1, 3, 2]
    # From 10: 0, 40, 90. From 80: 90, 40, 0. From 50: 40, 90 (40 off), 0.
    assert by_video.ranks.tolist() == [1, 2, 2]
    assert measure(by_audio).at == {1: pytest.approx(1 / 3)}
    assert measure(by_audio, [1, 2, 3]).at == {1: pytest.approx(1 / 3), 2: pytest.approx(2 / 3)}
    assert measure(by_audio).median == measure(by_video).median == 2


def test_what_is_level_shares_its_ranks():
    by_audio, by_video = both_ways(at(0.0, 20.0, 60.0), at(15.0, 15.0, 60.0))
    assert by_audio.nearer.tolist() == [0, 0, 0] and by_audio.level.tolist() == [2, 2, 1]
    assert by_audio.ranks.tolist() == [1.5, 1.5, 1]
    assert measure(by_audio).at[1] == pytest.approx((0.5 + 0.5 + 1) / 3)
    assert by_video.ranks.tolist() == [2, 1, 1]
    found = measure(Places(torch.tensor([8, 0]), torch.tensor([4, 1])), [1])
    assert found.at == {1: 0.5} and found.median == (10.5 + 1) / 2


@pytest.mark.parametrize("vectors", [torch.ones(30, 768) * torch.pi, torch.zeros(30, 8)])
def test_collapse_scores_what_chance_does(vectors):
    noise = 1 + 1e-8 * torch.randn(len(vectors), 1, dtype=torch.float64)
    for places in both_ways(vectors * noise, vectors):
        found, expected = measure(places), chance(30)
        assert found.at == pytest.approx(expected.at) and found.median == expected.median == 15.5


def test_brute_force_agrees_however_it_is_cut(monkeypatch):
    audio, video = torch.randn(50, 6), torch.randn(50, 6)
    video = 0.5 * video + audio
    cosines = F.cosine_similarity(audio[:, None], video[None], dim=-1)
    expected = [
        [1 + sum(float(other) > float(row[i]) for other in row) for i, row in enumerate(table)]
        for table in (cosines, cosines.T)
    ]
    whole = [places.ranks.tolist() for places in both_ways(audio, video)]
    monkeypatch.setattr(retrieval, "MOST", 333)
    parts = [places.ranks.tolist() for places in both_ways(audio, video)]
    assert expected == whole == parts and 1 < max(expected[0]) < 50


def test_chance_is_what_noise_scores():
    places = both_ways(torch.randn(2000, 4), torch.randn(2000, 4))
    for found in map(measure, places):
        assert found.at[10] == pytest.approx(chance(2000).at[10], abs=0.006)
        assert found.median == pytest.approx(chance(2000).median, abs=100)


def test_the_nearest_come_first():
    found = nearest(at(0.0, 90.0), at(10.0, 80.0, 50.0), 2)
    assert_close(found, torch.tensor([[0, 2], [1, 2]]))
    assert nearest(at(0.0), at(0.0, 10.0), 5).shape == (1, 2)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="no pairs of vectors"):
        both_ways(torch.ones(3, 2), torch.ones(4, 2))
    with pytest.raises(ValueError, match="not finite"):
        both_ways(torch.ones(2, 2), torch.tensor([[1.0, 1.0], [torch.nan, 0.0]]))
