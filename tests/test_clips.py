"""Models of clips: what must be true of them beyond what is true of any masked autoencoder."""

import pytest
import torch
from torch.testing import assert_close

from maskedae import Mask, create_model, list_models
from maskedae.inflating import inflate
from maskedae.masking import take
from maskedae.patches import patchify, unpatchify
from maskedae.positions import SeparablePositions
from maskedae.retargeting import Rescaled, Slices
from maskedae.targets import NormalizedChannels, NormalizedPixels, Pixels
from maskedae.zoo import model_config

ALL = [name for name in list_models() if len(model_config(name).size) == 3]
NAMES = [name for name in list_models("*vit*") if name in ALL]
PATCH = (2, 8, 8)


@pytest.fixture
def clips():
    return torch.randn(2, 3, 16, 32, 32)


@pytest.mark.parametrize("name", NAMES)
def test_the_encoder_is_blind_to_what_is_hidden(name, tiny_clips, clips):
    model = create_model(name, **tiny_clips)
    clips.requires_grad_()
    mask = model.draw_mask(2)
    both = torch.cat(mask, dim=1).sort(dim=1).values
    assert both.equal(torch.arange(128).expand(2, -1))
    model.encoder.forward_features(clips, mask.visible).square().sum().backward()
    gradient = patchify(clips.grad, PATCH)
    assert (take(gradient, mask.hidden) == 0).all()
    assert (take(gradient, mask.visible) != 0).any(dim=-1).all()


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_imagining_is_blind_to_what_is_hidden(name, tiny_clips, clips):
    model = create_model(name, **tiny_clips)
    mask = model.draw_mask(2)
    other = patchify(torch.randn_like(clips), PATCH)
    index = mask.visible.unsqueeze(-1).expand(-1, -1, other.shape[-1])
    other = unpatchify(
        other.scatter(1, index, take(patchify(clips, PATCH), mask.visible)), (8, 4, 4), PATCH
    )
    first, second = (model.imagine(x, mask) for x in (clips, other))
    assert first.nan_to_num().equal(second.nan_to_num())
    assert not model(clips, mask=mask).loss.equal(model(other, mask=mask).loss)


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_order_does_not_matter(name, tiny_clips, clips):
    model = create_model(name, **tiny_clips)
    mask = model.draw_mask(2)
    first = model(clips, mask=mask)
    second = model(clips, mask=Mask(mask.visible.flip(1), mask.hidden.flip(1)))
    assert_close(first.prediction, second.prediction.flip(1))
    assert_close(first.loss, second.loss)


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_imagined_frames_are_those_predicted(name, tiny_clips, clips):
    model = create_model(name, **tiny_clips)
    mask = model.draw_mask(2)
    drawn = unpatchify(model.imagine(clips, mask), (8, 4, 4), PATCH)
    gaps = drawn.isnan().all(dim=(0, 1, 3, 4)).tolist()
    assert gaps == ([False, True] * 8 if "mae_st" in name else [False] * 16)
    assert drawn[:, :, ::2].isfinite().all()


TARGETS = [
    Slices(NormalizedPixels((1, 8, 8)), tuple(range(0, 16, 2)), PATCH),
    Slices(Pixels((1, 8, 8)), (0, 2, 4, 6, 8, 10, 12, 15), PATCH),
    Rescaled(NormalizedChannels(PATCH), (0.2, 0.3, 0.4), (0.5, 0.6, 0.7)),
    Rescaled(Pixels(PATCH), (0.2,), (0.5,)),
    NormalizedChannels(PATCH),
]


@pytest.mark.parametrize("target", TARGETS)
def test_an_oracle_restores_exactly(target, clips):
    every = torch.arange(128).expand(2, -1)
    mask = Mask(every[:, :16], every[:, 16:])
    restored = target.restore(target(clips, every), clips, mask, oracle=True)
    shown = restored.isfinite()
    assert shown.float().mean() == (0.5 if isinstance(target, Slices) else 1)
    assert_close(restored[shown], patchify(clips, PATCH)[shown], atol=1e-5, rtol=1e-5)


def test_channels_are_normalised_apart(clips):
    clips[:, 1] = clips[:, 1] * 9 + 4
    values = NormalizedChannels(PATCH)(clips, torch.arange(128).expand(2, -1)).unflatten(2, (-1, 3))
    assert_close(values.mean(2), torch.zeros(2, 128, 3), atol=1e-5, rtol=0)
    assert_close(values.var(2), torch.ones(2, 128, 3), atol=1e-4, rtol=0)
    flat = NormalizedChannels(PATCH)(torch.ones(1, 3, 2, 8, 8), torch.zeros(1, 1, dtype=torch.long))
    assert (flat == 0).all()


def test_separable_positions_add_up_and_learn():
    places = SeparablePositions((3, 2, 4), 16, prefix=1)
    table = places()[0].view(3, 2, 4, 16)
    assert_close(table[1, 1, 2], places.along[0, 1] + places.across[0, 6])
    index = torch.tensor([[5, 23], [0, 8]])
    assert_close(places(index), table.flatten(0, 2)[index])
    places(torch.tensor([[9]])).sum().backward()
    assert places.along.grad[0].abs().sum(1).nonzero().tolist() == [[1]]
    assert places.across.grad[0].abs().sum(1).nonzero().tolist() == [[1]]
    assert places.prefixed().shape == (1, 1, 16)
    bare = SeparablePositions((3, 2, 4), 16)
    assert bare.prefixed().shape == (1, 0, 16) and len(list(bare.parameters())) == 2


SHAPES = [((4, 24, 40), (2, 8, 8)), ((2, 16, 16), (2, 16, 8)), ((12, 32, 32), (4, 8, 8))]


@pytest.mark.parametrize("name", NAMES[:1] + NAMES[-1:])
@pytest.mark.parametrize(("size", "patch"), SHAPES)
def test_any_clip(name, size, patch, tiny_clips):
    model = create_model(name, **{**tiny_clips, "size": size, "patch": patch})
    masker = type(model.masker)(0.5)
    mask = masker(2, model.encoder.grid)
    assert model(torch.randn(2, 3, *size), mask=mask).loss.isfinite()
    maps = model.encoder.forward_intermediates(torch.randn(1, 3, *size), intermediates_only=True)
    assert maps[-1].shape == (1, 32, *model.encoder.grid)


@pytest.mark.parametrize("name", NAMES)
def test_class_token_and_positions_are_spared_from_decay(name, tiny_clips):
    encoder = create_model(name, **tiny_clips).encoder
    named = {key for key, p in encoder.named_parameters() if p.ndim == 3}
    assert named <= encoder.no_weight_decay()
    assert bool(named) == bool(encoder.prefix)


@pytest.mark.parametrize("name", [NAMES[0], NAMES[-1]])
def test_it_compiles_as_one_graph(name, tiny_clips, clips):
    model = create_model(name, **tiny_clips)
    mask = model.draw_mask(2)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    assert_close(compiled(clips, mask=mask).loss, model(clips, mask=mask).loss)


@pytest.mark.parametrize("name", ALL)
def test_one_number_is_both_sides(name):
    config = model_config(name, size=64)
    assert config.size == (16, 64, 64)
    if name in NAMES:
        assert model_config(name, patch=8).patch == (2, 8, 8)
    else:
        config = model_config(name, kernel=5, stride=4)
        assert config.kernel == (3, 5, 5) and config.stride == (2, 4, 4)


def test_what_cannot_be_is_refused(tiny_clips):
    odd = {**tiny_clips, "patch": (1, 8, 8)}
    with pytest.raises(ValueError, match="predicted_frames=all fits"):
        create_model("mae_st_vit_base_patch16", **odd)
    assert create_model("mae_st_vit_base_patch16", **odd, predicted_frames="all")
    with pytest.raises(ValueError, match="3 values for 1 channels"):
        create_model("videomae_vit_base_patch16", **tiny_clips, channels=1, mean=(0.1, 0.2, 0.3))


@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
@torch.no_grad()
def test_a_still_clip_looks_like_its_image(tiny, tiny_clips, size):
    still = create_model("mae_vit_base_patch16", **{**tiny, "size": size}).encoder
    moving = create_model("mae_st_vit_base_patch16", **{**tiny_clips, "size": (16, *size)}).encoder
    report = inflate(still, moving)
    assert report.complete and report.filled == 1 and len(report.resized) == 2
    image = torch.randn(2, 3, *size)
    clip = image.unsqueeze(2).expand(-1, -1, 16, -1, -1)
    tokens = moving.tokens(clip)
    expected = still.tokens(image)
    assert_close(tokens[:, :1], expected[:, :1])
    assert_close(tokens[:, 1:].unflatten(1, (8, -1)).mean(1), expected[:, 1:])
    one = torch.arange(expected.shape[1] - 1).expand(2, -1)
    assert_close(moving(clip, one), still(image), rtol=1e-4, atol=1e-5)


def test_inflating_says_what_it_leaves_out(tiny, tiny_clips):
    still = create_model("mae_vit_base_patch16", **tiny).encoder
    report = inflate(still, create_model("videomae_vit_base_patch16", **tiny_clips).encoder)
    assert report.left_out == ["class_token"] and report.complete
    assert "positions for (8, 4, 4)" in str(report)
    larger = create_model("mae_st_vit_base_patch16", **{**tiny_clips, "size": (8, 48, 64)}).encoder
    assert "positions of (4, 4) for (4, 6, 8)" in str(inflate(still, larger))
    other = create_model("mae_st_vit_base_patch16", **{**tiny_clips, "heads": 2}).encoder
    with pytest.raises(ValueError, match="4 heads do not fit those with 2"):
        inflate(still, other)
    with pytest.raises(ValueError, match="missing: encoder.blocks.2"):
        inflate(
            still, create_model("mae_st_vit_base_patch16", **{**tiny_clips, "depth": 3}).encoder
        )


HIERA = {
    "width": 8,
    "heads": 2,
    "stages": (1, 1, 1),
    "decoder_width": 16,
    "decoder_depth": 1,
    "decoder_heads": 2,
}


@pytest.mark.parametrize("positions", ["windowed", "published"])
@pytest.mark.parametrize("size", [(32, 32), (16, 48)])
@torch.no_grad()
def test_a_still_clip_looks_like_its_image_to_a_hierarchy(positions, size):
    given = {**HIERA, "positions": positions}
    still = create_model("hiera_base_224", size=size, **given).encoder
    moving = create_model("hiera_base_16x224", size=(8, *size), **given).encoder
    report = inflate(still, moving)
    assert report.complete and report.filled == 1 and len(report.resized) == 2
    assert "embed from patches of (7, 7) to (3, 7, 7), evenly" in str(report)
    image = torch.randn(2, 3, *size)
    clip = image.unsqueeze(2).expand(-1, -1, 8, -1, -1)
    tokens, expected = moving.tokens(clip), still.tokens(image)
    frames = tokens.unflatten(1, (4, -1))
    for frame in range(4):  # the first, too, before which nothing is
        assert_close(frames[:, frame], expected, rtol=1e-4, atol=1e-5)
    one = torch.arange(expected.shape[1]).expand(2, -1)
    order = still.patches(Mask(one, one[:, :0])).visible
    assert_close(moving(clip, one), take(still(image), order), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_hierarchy_of_larger_clips_takes_stretched_positions():
    still = create_model("hiera_base_224", size=(32, 32), **HIERA).encoder
    moving = create_model("hiera_base_16x224", size=(8, 32, 64), **HIERA).encoder
    assert inflate(still, moving).complete
    assert moving.positions.tile.equal(still.positions.tile)
    assert (moving.positions.along == 0).all()
    other = create_model("hiera_base_16x224", size=(8, 32, 32), **{**HIERA, "heads": 1}).encoder
    with pytest.raises(ValueError, match="2 heads do not fit those with 1"):
        inflate(still, other)
