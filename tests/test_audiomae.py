"""Masked autoencoders of sounds: what must be true of both decoders and of overlapping patches."""

import pytest
import torch
from torch.testing import assert_close

from maskedae import create_model
from maskedae.bands import BandMasker
from maskedae.flops import pretraining_flops
from maskedae.masking import Mask, take
from maskedae.patches import covered, patchify
from maskedae.ragged import set_ragged
from maskedae.reconstruction import imagine_row
from maskedae.transformer import set_checkpointing

NAME = "audiomae_vit_base_patch16"
DECODERS = ["local", "global"]


@pytest.fixture(params=DECODERS)
def kind(request):
    return request.param


@pytest.fixture
def model(tiny_sounds, kind):
    return create_model(NAME, **tiny_sounds, decoder=kind).eval()


@pytest.fixture
def signal():
    return torch.randn(2, 1, 64, 32)


def test_predictions_are_blind_to_what_is_hidden(model, signal):
    signal.requires_grad_()
    mask = model.draw_mask(2)
    model(signal, mask=mask).prediction.square().sum().backward()
    gradient = patchify(signal.grad, (8, 8))
    assert (take(gradient, mask.hidden) == 0).all()
    assert (take(gradient, mask.visible) != 0).any(dim=-1).all()


def test_order_of_patches_does_not_matter(model, signal):
    mask = model.draw_mask(2)
    before = model(signal, mask=mask)
    other = model(signal, mask=Mask(mask.visible.flip(1), mask.hidden.flip(1)))
    assert_close(other.prediction.flip(1), before.prediction, rtol=1e-4, atol=1e-5)
    assert_close(other.loss, before.loss)


def test_all_patches_are_imagined_in_the_order_of_the_grid(model, signal):
    mask = model.draw_mask(2)
    latent = model.encoder.forward_features(signal, mask.visible)
    every = model.decoder.imagine(latent, mask)
    assert every.shape == (2, 32, 64)
    assert_close(take(every, mask.hidden), model.decoder(latent, mask), rtol=1e-4, atol=1e-5)


def test_the_local_decoder_knows_no_class_token(tiny_sounds, signal):
    for kind in DECODERS:
        model = create_model(NAME, **tiny_sounds, decoder=kind).eval()
        mask = model.draw_mask(2)
        latent = model.encoder.forward_features(signal, mask.visible)
        before = model.decoder(latent, mask)
        latent[:, 0] += 1
        assert model.decoder(latent, mask).allclose(before) == (kind == "local")


@pytest.mark.parametrize("stride", [None, (6, 5)])
def test_a_batch_can_be_overfitted(tiny_sounds, kind, stride):
    model = create_model(NAME, **tiny_sounds, decoder=kind, stride=stride, decoder_dropout=0.0)
    signal, noise = torch.randn(2, 1, 64, 32), torch.rand(2, model.noise_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    first = model(signal, noise=noise).loss.item()
    for _ in range(150):
        loss = model(signal, noise=noise).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < 0.6 * first


def test_checkpointing_changes_no_gradient(tiny_sounds, kind, signal):
    model = create_model(NAME, **tiny_sounds, decoder=kind)
    noise, kept = torch.rand(2, 32), []
    for on in (False, True):
        set_checkpointing(model, on)
        torch.manual_seed(1)
        model.zero_grad()
        model(signal, noise=noise).loss.backward()
        kept.append([p.grad.clone() for p in model.parameters()])
    assert all(a.equal(b) for a, b in zip(*kept, strict=True))


@pytest.mark.parametrize("ragged", [False, True])
def test_it_compiles_as_one_graph(tiny_sounds, ragged):
    # The last windows reach beyond the grid of 8 x 6.
    model = create_model(NAME, **{**tiny_sounds, "size": (64, 48)}).eval()
    set_ragged(model, ragged)
    signal = torch.randn(2, 1, 64, 48)
    if ragged:
        signal[0, :, 30:] = torch.nan
    mask = model.draw_mask(2)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    assert_close(compiled(signal, mask=mask).loss, model(signal, mask=mask).loss)


def test_what_comes_after_the_end_does_not_count(model, signal):
    """Neither for the loss, nor for predictions of what is there."""
    set_ragged(model, True)
    signal[0, :, 30:] = torch.nan
    mask, noise = model.draw_mask(2), torch.rand(2, 32)
    out = model(signal, noise=noise)
    alone = model(signal[:1], noise=noise[:1])
    assert out.loss.isfinite() and out.prediction.isfinite().all()
    assert_close(out.prediction[:1], alone.prediction, rtol=1e-4, atol=1e-5)
    imagined = model.imagine(signal, mask)
    assert imagined[0].isnan().all(dim=1).view(8, 4)[:, 0].tolist() == [False] * 3 + [True] * 5


@pytest.mark.parametrize("size", [(96, 64), (64, 64), (40, 32), (128, 16), (8, 64)])
def test_other_sizes(kind, size):
    """Of grids that windows do not tile, too."""
    settings = {"size": size, "patch": 8, "depth": 2, "width": 32, "heads": 2}
    model = create_model(NAME, **settings, decoder=kind, decoder_depth=2)
    out = model(torch.randn(2, 1, *size))
    out.loss.backward()
    assert out.loss.isfinite() and model.encoder.grid == (size[0] // 8, size[1] // 8)


def test_positions_never_learn(model):
    model.requires_grad_(True)
    names = [name for name, _ in model.named_parameters() if "positions" in name]
    stored = [name for name in model.state_dict() if "positions" in name]
    assert names == [] and stored == ["encoder.positions.table", "decoder.positions.table"]


def test_operations_of_the_local_decoder(tiny_sounds):
    """All tokens in windows of 16, whatever is hidden; the network of distances, once a block."""

    def build(depth):
        return lambda: create_model(NAME, **{**tiny_sounds, "decoder_depth": depth})

    width, tokens, heads = 16, 32, 2
    block = 2 * tokens * (12 * width**2 + 2 * 16 * width) + 2 * 256 * 384 * (2 + heads)
    assert pretraining_flops(build(3)) - pretraining_flops(build(2)) == block


@pytest.mark.parametrize("channels", [1, 2])
def test_overlapping_patches(tiny_sounds, kind, channels):
    settings = {**tiny_sounds, "stride": (5, 4), "channels": channels, "size": (64, 31)}
    model = create_model(NAME, BandMasker(0.5, 0.5), **settings, decoder=kind).eval()
    assert model.encoder.grid == (12, 6) and model.encoder.size == (64, 31)
    signal = torch.randn(2, channels, 64, 31)
    out = model(signal)
    assert out.prediction.shape == (2, 72 - 18, 64 * channels)
    masked = model.encoder.hide(signal, out.mask)
    other = torch.where(masked.isnan(), torch.randn_like(signal), signal)
    assert_close(model(other, mask=out.mask).prediction, out.prediction)
    with pytest.raises(ValueError, match=r"built for \(\d, 64, 31\)"):
        model.encoder(torch.randn(2, channels, 63, 31))
    assert pretraining_flops(lambda: create_model(NAME, **settings, decoder=kind)) > 0
    row = imagine_row(model, signal[:1], "a sound", [BandMasker(0.5, 0.5)], seed=0)
    assert all(part.signal.shape[1] == 63 for part in row)  # no patch reaches the last frame
    assert row[2].signal[:, :, :28].isfinite().all() and row[2].signal[:, :, 28:].isnan().all()


def test_overlapping_patches_that_touch_the_end_are_absent(tiny_sounds, signal):
    model = create_model(NAME, **tiny_sounds, stride=(7, 8)).eval()
    set_ragged(model, True)
    signal[0, :, 29:] = torch.nan
    present = model.encoder.present(signal).view(2, *model.encoder.grid)
    assert present[0, :, 0].tolist() == [True] * 4 + [False] * 5 and present[1].all()
    assert model(signal).loss.isfinite()


def test_a_value_is_hidden_if_no_visible_patch_covers_it():
    signal = torch.arange(1.0, 11).view(1, 1, 10, 1)
    found = signal[covered(signal, torch.tensor([[1]]), (4, 1), (3, 1))]
    assert found.tolist() == [4, 5, 6, 7]
