"""Signals that end early: what is absent changes nothing, and is never asked for."""

import pytest
import torch
from torch.testing import assert_close

from maskedae import BandMasker, RandomMasker, create_model
from maskedae.answers import Answers
from maskedae.classifier import Classifier
from maskedae.datasets.sounds import Sounds
from maskedae.masking import Mask
from maskedae.ragged import set_ragged, spare, suit

GRID = (6, 4)


@pytest.fixture
def model(tiny):
    model = create_model("mae_vit_base_patch16", **{**tiny, "size": (24, 16), "patch": (4, 4)})
    set_ragged(model, True)
    return model.eval()


def ended(*rows):
    """Signals that end after so many rows."""
    signal = torch.randn(len(rows), 3, 24, 16, generator=torch.Generator().manual_seed(1))
    for sample, row in zip(signal, rows, strict=True):
        sample[:, row:] = torch.nan
    return signal


def test_a_settled_mask_is_a_partition_with_the_same_share_of_what_is_there():
    present = torch.arange(24) < torch.tensor([[24], [20], [8], [4], [2], [1]])
    mask = spare(RandomMasker(0.75)(6, GRID), present)
    assert torch.equal(torch.cat(mask, dim=1).sort(dim=1).values[0], torch.arange(24))
    seen, asked = (present.gather(1, part).sum(dim=1).tolist() for part in mask)
    assert seen == [6, 5, 2, 1, 1, 1]
    assert asked == [18, 15, 6, 3, 1, 0]


def test_whole_samples_keep_the_mask_they_had():
    mask = RandomMasker(0.6)(3, GRID)
    settled = spare(mask, torch.ones(3, 24, dtype=torch.bool))
    assert torch.equal(settled.visible, mask.visible)
    assert torch.equal(settled.hidden, mask.hidden)


def test_whole_signals_give_the_numbers_of_a_model_that_allows_no_other(model):
    signal, noise = ended(24, 24), torch.rand(2, 24)
    ragged = model(signal, noise=noise)
    set_ragged(model, False)
    plain = model(signal, noise=noise)
    assert_close(ragged.loss, plain.loss)
    assert_close(ragged.prediction, plain.prediction)


def test_a_sample_is_what_it_would_be_alone_without_padding(model, tiny):
    """A model built for the shorter signal, with the rows of the table that are its own."""
    short = create_model("mae_vit_base_patch16", **{**tiny, "size": (8, 16), "patch": (4, 4)})
    state = model.state_dict()
    for name in ("encoder.positions.table", "decoder.positions.table"):
        state[name] = state[name][:, : 1 + 8]
    short.load_state_dict(state)
    signal = ended(8, 24)
    order = torch.randperm(8)
    inner = Mask(order[None, :2], order[None, 2:])
    rest = torch.arange(8, 24)
    outer = Mask(
        torch.cat([order[:2], rest[:4]]).expand(2, -1),
        torch.cat([order[2:], rest[4:]]).expand(2, -1),
    )
    long = model(signal, mask=outer)
    alone = short.eval()(signal[:1, :, :8], mask=inner)
    asked = (long.mask.hidden[0] < 8).nonzero().flatten()
    assert torch.equal(long.mask.hidden[0, asked], alone.mask.hidden[0])
    assert_close(long.prediction[0, asked], alone.prediction[0])
    assert_close(model(signal[:1], mask=Mask(*(part[:1] for part in outer))).loss, alone.loss)


def test_every_sample_counts_the_same(model):
    signal, noise = ended(8, 24), torch.rand(2, 24)
    both = model(signal, noise=noise)
    single = [model(signal[i : i + 1], noise=noise[i : i + 1]) for i in range(2)]
    assert_close(both.loss, sum(out.loss for out in single) / 2)
    baselines = [out.metrics["baseline"] for out in single]
    assert_close(both.metrics["baseline"], sum(baselines) / 2)


def test_gradients_are_finite_and_do_not_come_from_padding(model):
    model.train()
    model(ended(8, 24, 3), noise=torch.rand(3, 24)).loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_features_of_what_is_absent_are_nan_and_not_pooled(model):
    signal = ended(8, 24)
    features = model.encoder.forward_features(signal)
    assert features[0, 1 + 8 :].isnan().all() and features[0, : 1 + 8].isfinite().all()
    assert_close(model.encoder.pool(features)[0], features[0, 1:9].mean(dim=0))
    maps = model.encoder.forward_intermediates(signal, [-1], intermediates_only=True)[0]
    assert maps[0, :, 2:].isnan().all() and maps[0, :, :2].isfinite().all()
    other = signal.clone()
    other[0, :, 8:] = torch.nan
    other[0, :, 9:10] = 7.0  # a patch that is not whole is absent, whatever it holds
    assert_close(model.encoder.forward_features(other), features, equal_nan=True)


def test_a_classifier_looks_at_what_is_there(model):
    classifier = Classifier(model.encoder, Answers("class", ("a", "b"))).train()
    noise = torch.rand(2, model.encoder.noise_size)
    logits = classifier(ended(8, 24), noise)
    logits.sum().backward()
    assert logits.isfinite().all()
    assert all(p.grad.isfinite().all() for p in classifier.parameters() if p.grad is not None)


def test_what_is_absent_is_not_imagined(model):
    signal = ended(8, 24)
    mask = model.encoder.settle(RandomMasker(0.75)(2, GRID), signal)
    imagined = model.imagine(signal, mask)
    assert imagined[0, 8:].isnan().all() and imagined[0, :8].isfinite().all()
    assert imagined[1].isfinite().all()


def test_bands_stay_whole_and_fall_anywhere_where_signals_end_early():
    """Ten slots of 64: at most one is cut in two, and none is visible more often than another."""
    grid, count = (64, 4), 400
    present = (torch.arange(256) < 40).expand(count, -1)
    mask = spare(BandMasker(time=0.7, frequency=0)(count, grid), present)
    seen = torch.zeros(count, 256).scatter(1, mask.visible, 1.0)[:, :40].view(count, 10, 4).sum(2)
    assert ((seen > 0) & (seen < 4)).sum(dim=1).max() <= 1
    often = (seen > 0).float().mean(dim=0)
    assert often.max() - often.min() < 0.15 and 0.2 < often.mean() < 0.4


def test_patches_that_signals_could_end_in_are_refused(model):
    with pytest.raises(ValueError, match="--data.grain=4 would fit"):
        suit(model, Sounds(grain=2))
    suit(model, Sounds(grain=8))
    assert model.encoder.ragged
    suit(model, Sounds(short="zeros", grain=2))
    assert not model.encoder.ragged


def test_decoders_do_not_hide_that_an_encoder_has_diverged(model):
    with torch.no_grad():
        model.encoder.norm.weight[0] = torch.nan
    assert model(ended(8, 24), noise=torch.rand(2, 24)).loss.isnan()
