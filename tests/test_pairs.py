"""Sound and picture are treated as one tensor is, along the axis of the samples."""

import pytest
import torch
from torch.testing import assert_close

from maskedae.masking import RandomMasker
from maskedae.pairs import Pair, PairMasker, count_values, in_words, make_signal, stack_views

BOTH = ((1, 6, 4), (3, 2, 4, 4))


def pair(count=4):
    audio = torch.arange(count * 3.0).view(count, 3)
    video = torch.arange(count * 8).view(count, 2, 4)
    heard = torch.arange(count) % 2 == 0
    return Pair(audio, video, heard, ~heard)


@pytest.mark.parametrize("rows", [slice(1, 3), [0, 2], torch.tensor([3, 0])])
def test_rows_are_those_of_every_part(rows):
    whole = pair()
    some = whole[rows]
    assert len(whole) == 4 and len(some) == 2
    for name in ("audio", "video", "heard", "seen"):
        assert getattr(some, name).equal(getattr(whole, name)[rows])


def test_all_parts_change_and_move_alike():
    twice = pair().each(lambda part: torch.cat([part, part]))
    assert len(twice) == 8 and twice[4:].audio.equal(pair().audio)
    assert twice.present[0].equal(twice.heard) and twice.present[1].equal(twice.seen)
    there = pair().to("meta")
    assert {part.device.type for part in (there.audio, there.video, *there.present)} == {"meta"}
    assert there.device.type == "meta" and pair().device.type == "cpu"


def test_views_of_all_samples_come_first_by_first():
    samples = [pair(2), pair(2).each(lambda part: part.clone())]
    samples[1] = Pair(samples[1].audio + 100, samples[1].video, samples[1].heard, ~samples[1].seen)
    stacked = stack_views(samples)
    assert_close(stacked.audio[:, 0], torch.tensor([0.0, 100, 3, 103]))
    assert stacked.heard.tolist() == [True, True, False, False]
    assert stacked.seen.tolist() == [False, True, True, False]
    assert stack_views([sample.audio for sample in samples]).equal(stacked.audio)


def test_signals_are_made_by_their_shape():
    signal = make_signal(BOTH, lambda shape: torch.ones(2, *shape))
    assert signal.audio.shape == (2, 1, 6, 4) and signal.video.shape == (2, 3, 2, 4, 4)
    assert signal.heard.all() and signal.seen.all() and len(signal.heard) == 2
    assert make_signal(BOTH[1], torch.ones).shape == BOTH[1]


def test_shapes_in_numbers_and_words():
    assert count_values(BOTH) == 24 + 96 and count_values(BOTH[0]) == 24
    assert in_words(BOTH) == "1 x 6 x 4 + 3 x 2 x 4 x 4" and in_words((8,)) == "8"


def test_either_has_a_masker_of_its_own():
    masker = PairMasker(RandomMasker(0.5), RandomMasker(0.75))
    assert masker(2, (4, 4)).hidden.shape == (2, 8)
    assert masker(2, (1, 4, 4)).hidden.shape == (2, 12)
    noise = torch.rand(2, 16)
    assert masker(2, (4, 4), noise).hidden.equal(RandomMasker(0.5)(2, (4, 4), noise).hidden)
