"""Sounds are mixed as waveforms, and all their classes with them."""

import torch
from torch.testing import assert_close

from maskedae.answers import Answers
from maskedae.finetuning.mixing import Mixing

CLASSES = Answers("classes", ("bell", "dog", "rain"))


def mixed(waveforms, labels, **settings):
    mixing = Mixing(CLASSES, **{"mixup": 10.0, "cutmix": 0.0, **settings})
    return mixing(waveforms, labels, seeds=list(range(len(waveforms) // 2)))


def test_classes_of_both_sounds_are_heard():
    waveforms = torch.eye(2).unsqueeze(1)  # each sound is one click
    labels = torch.tensor([[True, False, True], [False, True, True]])
    found, shares = mixed(waveforms, labels)
    weight = float(found[0, 0, 0])
    assert 0 < weight < 1
    assert_close(found[:, 0], torch.tensor([[weight, 1 - weight], [1 - weight, weight]]))
    # What both have counts whole.
    assert_close(shares, torch.tensor([[weight, 1 - weight, 1.0], [1 - weight, weight, 1.0]]))


def test_a_shorter_sound_mixes_with_a_longer_one_and_stays_short():
    waveforms = torch.ones(2, 1, 4)
    waveforms[0, 0, 2:] = torch.nan
    found, shares = mixed(waveforms, torch.eye(3)[:2].bool())
    assert found[0, 0, :2].eq(1).all() and found[0, 0, 2:].isnan().all()
    assert_close(found[1, 0], torch.tensor([1, 1, *shares[1, 1].expand(2)]))


def test_a_share_of_the_pairs_is_mixed():
    waveforms, labels = torch.randn(400, 1, 8), torch.eye(3)[torch.arange(400) % 3].bool()
    found, _ = mixed(waveforms, labels, share=0.5)
    changed = (found != waveforms).flatten(1).any(dim=1).view(-1, 2)
    assert changed[:, 0].equal(changed[:, 1])
    assert 0.4 < float(changed.float().mean()) < 0.6
