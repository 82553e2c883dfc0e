"""Losses, scores, mixing, and what is said of labels before a training."""

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import average_precision_score, r2_score
from timm.data.mixup import Mixup
from timm.loss import BinaryCrossEntropy, SoftTargetCrossEntropy
from torch.testing import assert_close

from maskedae.answers import Answers
from maskedae.finetuning.auditing import audit
from maskedae.finetuning.mixing import Mixing
from maskedae.finetuning.objectives import answers_of, guess, loss, measure
from maskedae.finetuning.pictures import class_accuracies, confusion, draw_answers
from maskedae.pairs import Pair

THREE = Answers("class", ("a", "b", "c"))
MANY = Answers("classes", ("a", "b", "c"))
VALUE = Answers("value", mean=10.0, std=2.0)


class Few:
    """A source that only has labels and files."""

    def __init__(self, labels, classes=("a", "b", "c"), names=()):
        self.labels, self.classes, self.names = labels, classes, names
        self.unlabelled = "" if labels is not None else "there are no sub-folders"

    def __len__(self):
        return len(self.labels)

    def name(self, index):
        return self.names[index] if self.names else f"{id(self)}-{index}.jpg"


def test_smoothed_and_mixed_loss_is_that_of_timm():
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    images = torch.randn(6, 3, 8, 8)
    mixed, targets = Mixup(0.8, 0.0, label_smoothing=0.1, num_classes=3)(images.clone(), labels)
    share = float(((mixed - images.flip(0)) / (images - images.flip(0))).median())
    shares = share * F.one_hot(labels, 3) + (1 - share) * F.one_hot(labels.flip(0), 3)
    expected = SoftTargetCrossEntropy()(logits, targets)
    assert_close(loss(THREE, logits, shares, smoothing=0.1), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_asking_for_each_class_is_the_loss_of_timm(smoothing):
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    expected = BinaryCrossEntropy(smoothing)(logits, labels)
    assert_close(loss(THREE, logits, labels, smoothing, binary=True), expected)
    shares = torch.rand(6, 3).softmax(dim=1)
    mixed = F.binary_cross_entropy_with_logits(logits, shares * (1 - smoothing) + smoothing / 3)
    assert_close(loss(THREE, logits, shares, smoothing, binary=True), mixed)


def test_losses_of_other_labels():
    logits = torch.randn(4, 3)
    truths = torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]]).bool()
    expected = -torch.where(truths, logits.sigmoid().log(), (1 - logits.sigmoid()).log()).mean()
    assert_close(loss(MANY, logits, truths), expected)
    assert loss(VALUE, torch.tensor([[0.5]]), torch.tensor([11.0])) == 0
    assert VALUE.read(torch.tensor([[0.5]])).tolist() == [11.0]


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.8, 0), (0, 1.0), (0.8, 1)])
@pytest.mark.parametrize("size", [(16, 16), (4, 16, 16)])
def test_mixing(mixup, cutmix, size):
    ones = (1,) * (1 + len(size))
    images = torch.arange(6.0).view(6, *ones).expand(6, 2, *size).contiguous()
    labels, mix = torch.tensor([0, 1, 2, 0, 1, 2]), Mixing(THREE, mixup, cutmix)
    partner = torch.tensor([1.0, 0, 3, 2, 5, 4])
    kinds, lone = set(), set()
    for seed in range(0, 60, 3):
        seeds = [seed, seed + 1, seed + 2]
        mixed, shares = mix(images.clone(), labels, seeds)
        assert_close(shares.sum(dim=1), torch.ones(6))
        # The share of the label is the share of the picture.
        means, own = mixed.flatten(1).mean(dim=1), shares[torch.arange(6), labels]
        assert_close(means, own * torch.arange(6.0) + (1 - own) * partner, atol=1e-4, rtol=0)
        kinds |= {bool((pair == pair.round()).all()) for pair in mixed.split(2)}
        lone.add(round(float(own[0]), 3) == round(float(own[2]), 3))
        # Numbers are those of the pair, however a batch is divided.
        parts = [
            mix(images[2 * n : 2 * n + 2].clone(), labels[2 * n : 2 * n + 2], [seeds[n]])
            for n in range(3)
        ]
        assert mixed.equal(torch.cat([part[0] for part in parts]))
        assert shares.equal(torch.cat([part[1] for part in parts]))
    assert kinds == ({True, False} if mixup and cutmix else {True} if cutmix else {False})
    assert False in lone


@pytest.mark.parametrize("garbage", [1e9, torch.nan])
def test_pairs_are_mixed_where_both_lack_nothing(garbage):
    heard = torch.tensor([True, True, False, True, True, True])
    seen = torch.tensor([True, True, True, True, True, False])
    audio = torch.arange(6.0).view(6, 1, 1).expand(6, 1, 9).clone()
    video = torch.arange(6).view(6, 1, 1, 1, 1).expand(6, 3, 2, 4, 4).to(torch.uint8)
    audio[~heard] = garbage
    labels, seeds = torch.tensor([0, 1, 2, 0, 1, 2]), [1, 2, 3]
    pair = Pair(audio, video, heard, seen)
    mixed, shares = Mixing(THREE, 0.8, 0)(pair, labels, seeds)
    # Of the first two, sound, pictures and labels are mixed alike.
    share = shares[0, 0]
    assert 0 < share < 1 and shares[:2].sum(dim=1).tolist() == [1, 1]
    for part in (mixed.audio, mixed.video):
        expected = torch.stack([1 - share, share]).view(2, *[1] * (part.ndim - 1))
        assert_close(part[:2], expected.expand_as(part[:2]))
    # Of the others one lacks something, and both stay what they are.
    for part, whole in ((mixed.audio, audio), (mixed.video, video)):
        assert_close(part[2:], whole[2:].float(), equal_nan=True)
    assert shares[2:].equal(F.one_hot(labels[2:], 3).float())
    assert mixed.heard.equal(heard) and mixed.seen.equal(seen)
    # A sample's numbers do not depend on how the batch is divided.
    part, own = Mixing(THREE, 0.8, 0)(pair[:2], labels[:2], seeds[:1])
    assert part.audio.equal(mixed.audio[:2]) and own.equal(shares[:2])
    assert Mixing(THREE, 0, 0)(pair, labels, seeds)[0] is pair


def test_mixing_nothing_and_other_labels():
    images, labels = torch.randn(2, 1, 4, 4), torch.tensor([0, 1])
    assert Mixing(THREE, 0, 0)(images, labels, [1])[1] is labels
    _, shares = Mixing(MANY, 1, 0)(images, torch.tensor([[True, False, True], [False] * 3]), [3])
    assert shares[0].equal(shares.sum(dim=0) - shares[1]) and 0 < shares[0, 0] < 1
    _, values = Mixing(VALUE, 1, 0)(images, torch.tensor([8.0, 12.0]), [3])
    assert values.shape == (2, 1) and 8 < values[0] < 12
    assert loss(VALUE, torch.zeros(2, 1), values).isfinite()


def test_scores_agree_with_scikit_learn():
    logits, labels = torch.randn(50, 3), torch.randint(0, 2, (50, 3)).bool()
    expected = average_precision_score(labels, logits.sigmoid())
    assert measure(MANY, logits, labels)["map"] == pytest.approx(expected, rel=1e-5)
    labels[:, 1] = False  # a class that never occurs has no precision
    expected = average_precision_score(labels[:, [0, 2]], logits[:, [0, 2]].sigmoid())
    assert measure(MANY, logits, labels)["map"] == pytest.approx(expected, rel=1e-5)
    values = torch.randn(50) * 2 + 10
    found = measure(VALUE, logits[:, :1], values)
    assert found["r2"] == pytest.approx(r2_score(values, logits[:, 0] * 2 + 10), rel=1e-5)


def test_accuracies_by_hand(tmp_path):
    logits = torch.tensor([[3.0, 1, 0], [0, 3, 1], [1, 0, 3], [3, 0, 1]])
    labels = torch.tensor([0, 1, 1, 0])
    assert measure(THREE, logits, labels)["acc1"] == 0.75
    assert "acc5" not in measure(THREE, logits, labels)
    wide, truth = torch.arange(10.0).expand(4, 10), torch.tensor([9, 5, 4, 0])
    ten = Answers("class", tuple("abcdefghij"))
    assert measure(ten, wide, truth)["acc5"] == 0.5 and measure(ten, wide, truth)["acc1"] == 0.25
    table = confusion(logits, labels)
    assert table.tolist() == [[2, 0, 0], [0, 1, 1], [0, 0, 0]]
    assert class_accuracies(table)[:2].tolist() == [1, 0.5] and class_accuracies(table)[2].isnan()
    for answers, truths in [
        (THREE, labels),
        (MANY, torch.rand(4, 3) > 0.5),
        (VALUE, torch.rand(4)),
        (Answers("class", tuple(map(str, range(40)))), labels),
    ]:
        out = torch.randn(4, answers.outputs)
        draw_answers(answers, out, truths, "t", tmp_path / "x.png")
        assert (tmp_path / "x.png").stat().st_size > 1000


def test_what_a_source_teaches():
    assert answers_of(Few(torch.tensor([0, 1, 2]))) == THREE
    assert answers_of(Few(torch.ones(2, 3).bool())) == MANY
    assert answers_of(Few(torch.tensor([8.0, 12.0]))).mean == 10
    with pytest.raises(ValueError, match="all 3 samples are of one class, b"):
        answers_of(Few(torch.tensor([1, 1, 1])))
    with pytest.raises(ValueError, match="needs labels, and there are none: there are no sub-"):
        answers_of(Few(None))
    with pytest.raises(ValueError, match="have the value 3"):
        answers_of(Few(torch.tensor([3.0, 3.0])))


def test_guessing_blindly():
    train, labels = torch.tensor([0, 1, 1, 2]), torch.tensor([1, 2, 2, 1, 1])
    assert guess(THREE, train, labels) == ("always answering b", pytest.approx(0.6))
    assert guess(VALUE, torch.tensor([9.0, 11.0]), torch.tensor([9.0, 11.0]))[1] == 0
    assert guess(VALUE, torch.tensor([9.0, 11.0]), torch.tensor([11.0, 13.0]))[1] == -4
    truths = torch.tensor([[1, 0, 0], [1, 1, 0]]).bool()
    assert guess(MANY, truths, truths)[1] == pytest.approx(0.75)


def test_audit_names_what_looks_like_a_mistake(tmp_path):
    files = {"a": b"same", "b": b"other", "c": b"more!", "copy": b"same", "new": b"news"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    train = Few(torch.tensor([0, 0, 1]), names=[str(tmp_path / n) for n in "abc"])
    held = Few(torch.tensor([0, 2]), names=[str(tmp_path / n) for n in ("copy", "new")])
    said = audit(THREE, train, held)
    assert "3 classes of 0 to 2 samples (a, b, c; order" in said
    assert "always answering a scores acc1 0.5" in said
    assert "train has no sample of c" in said and "held out has no sample of b" in said
    assert "train has fewer than 5 samples of a, b" in said
    assert f"1 held-out samples are also in train: {tmp_path / 'copy'} = {tmp_path / 'a'}" in said
    assert "nothing is held out" in audit(THREE, train, None)
