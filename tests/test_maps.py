"""Feature maps of pictures of any size."""

import torch

from maskedae.attention import KERNELS, set_kernel
from maskedae.maps import PlainMap
from maskedae.relative import Relative
from maskedae.zoo import create_model

PLAIN = {"size": (64, 96), "patch": (8, 8), "width": 48, "depth": 4, "heads": 4}


def test_the_last_block_of_every_quarter_looks_everywhere() -> None:
    wide = {4: {0, 1, 2, 3}, 3: {0, 1, 2}, 8: {1, 3, 5, 7}, 12: {2, 5, 8, 11}}
    for depth, blocks in wide.items():
        encoder = create_model("mae_vit_tiny_patch16", **{**PLAIN, "depth": depth}).encoder
        maps = encoder.make_maps(3, None, False)
        assert isinstance(maps, PlainMap) and maps.wide == blocks


def test_nothing_outside_the_picture_is_seen() -> None:
    for name, config in (("mae_vit_tiny_patch16", PLAIN), ("hiera_tiny_224", {"size": (64, 96)})):
        encoder = create_model(name, **config).encoder.eval()
        maps = encoder.make_maps(3, None, True)
        unit, area = encoder.unit[0], (1, 2)
        canvas = torch.randn(2, 3, 64, 96)
        other = canvas.clone()
        other[:, :, unit:], other[..., 2 * unit :] = torch.nan, torch.inf
        for a, b in zip(maps(canvas, area), maps(other, area), strict=True):
            assert a.isfinite().all() and torch.equal(a, b)


def test_stages_have_the_features_of_the_encoder() -> None:
    encoder = create_model("hiera_tiny_224", size=(64, 96)).encoder.eval()
    maps, canvas = encoder.make_maps(14, None, True), torch.randn(2, 3, 64, 96)
    wanted = encoder.forward_intermediates(canvas, norm=True, intermediates_only=True)
    for found, one in zip(maps(canvas, (2, 3)), wanted, strict=True):
        torch.testing.assert_close(found, one)
    assert maps.strides == [4, 8, 16, 32] and maps.widths == [96, 192, 384, 768]


def test_blocks_that_all_look_everywhere_are_those_of_the_encoder() -> None:
    encoder = create_model("mae_vit_tiny_patch16", **PLAIN).encoder.eval()
    canvas = torch.randn(2, 3, 64, 96)
    tokens = encoder.tokens(canvas)[:, 1:]  # there is no class token here
    for block in encoder.blocks:
        tokens = block(tokens)
    maps = encoder.make_maps(1, [0, 1, 2, 3], False)
    assert not list(maps.parameters())
    (found,) = maps(canvas, (8, 12))
    torch.testing.assert_close(found, tokens.transpose(1, 2).reshape(2, -1, 8, 12))


def test_distances_add_to_scores_what_they_are_defined_to() -> None:
    torch.manual_seed(0)
    relative, (h, w), d = Relative((4, 5), 8), (3, 5), 8
    for parameter in relative.parameters():
        torch.nn.init.normal_(parameter)
    q, k, v = torch.randn(3, 2, 2, h * w, d)
    wide_q, wide_k, wide_v = relative.widen(q, k, v, (h, w))
    for name in ("sdpa", "eager", "sdpa-math"):
        found = KERNELS[name](wide_q, wide_k, wide_v, None)[..., :d]
        bias = torch.empty(2, 2, h * w, h * w)
        for a in range(h * w):
            for b in range(h * w):
                down = relative.down[a // w - b // w + 3]
                across = relative.across[a % w - b % w + 4]
                bias[:, :, a, b] = q[:, :, a] @ (down + across)
        torch.testing.assert_close(found, KERNELS["eager"](q, k, v, bias), atol=1e-5, rtol=1e-4)


def test_kernels_give_the_same_map() -> None:
    encoder = create_model("mae_vit_tiny_patch16", **PLAIN).encoder.eval()
    maps, canvas = encoder.make_maps(3, None, True), torch.randn(1, 3, 64, 96)
    found = []
    for name in ("sdpa", "eager"):
        set_kernel(encoder, name)
        found.append(maps(canvas, (5, 7))[0])
    torch.testing.assert_close(*found)
