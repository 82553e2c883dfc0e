"""Equal to the official Hiera (Ryali et al. 2023): published values, and its package's numbers."""

import math
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from maskedae import create_model
from maskedae.flops import encoder_flops
from maskedae.masking import RandomMasker
from maskedae.transformer import set_drop_path

sys.path.append(str(Path(__file__).parents[1]))
from golden import fill  # noqa: E402
from hieras import classifier, official  # noqa: E402

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # of timm, about where its layers are
    from hiera import Hiera, MaskedAutoencoderHiera


def signal(*shape):
    values = torch.sin(0.001 * torch.arange(math.prod(shape), dtype=torch.float64))
    return values.float().view(shape)


def noise(batch, units):
    rows = torch.arange(units) * 37 + torch.arange(batch)[:, None] * 11
    return rows % units / units


IMAGE, FILM = "hiera_tiny_224", "hiera_base_16x224"
LOGITS = {
    IMAGE: [0.479670, 0.803213, -0.230658, -0.899390],
    FILM: [0.542330, 1.149587, -0.186510, -1.241953],
}


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [(IMAGE, (2, 3, 224, 224), 1000), (FILM, (1, 3, 16, 224, 224), 400)],
)
@torch.no_grad()
def test_published_logits(name, shape, classes):
    model = classifier(create_model(name, positions="published").encoder, classes)
    fill(official(model), amplitude=0.02, first=0)
    assert_close(model(signal(*shape))[0, :4], torch.tensor(LOGITS[name]), atol=2e-6, rtol=0)


def in_order(values, hidden):
    """What belongs to hidden patches, in the order of the grid: (B, M, P) -> (B, M, P)."""
    return values.gather(1, hidden.argsort(1)[..., None].expand_as(values))


@torch.no_grad()
def test_published_loss_and_predictions_of_images():
    model = create_model(IMAGE, positions="published")
    fill(official(model), amplitude=0.02, first=0)
    x = signal(2, 3, 224, 224)
    out = model(x, noise=noise(2, 49))
    keep = torch.zeros(49).index_fill(0, out.mask.visible[0], 1)
    assert keep[:10].tolist() == [1, 0, 0, 1, 1, 0, 0, 1, 1, 0] and keep.sum() == 19
    assert out.loss.item() == pytest.approx(1.218061, abs=2e-6)
    hidden = model.encoder.patches(out.mask).hidden
    expected = torch.tensor([-0.62116, -0.12303, 0.47133])
    assert_close(in_order(out.prediction, hidden)[0, 0, :3], expected, atol=1e-5, rtol=0)
    expected = torch.tensor([-1.33780, -1.33519, -1.33257])
    target = in_order(model.target(x, hidden), hidden)
    assert_close(target[0, 0, :3], expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_published_loss_and_predictions_of_films():
    model = create_model(FILM, positions="published")
    fill(official(model), amplitude=0.02, first=0)
    x = signal(1, 3, 16, 224, 224)
    mask = model.draw_mask(1, noise(1, 392))
    patches, latent = model.encoder.patches(mask), model.encoder.latent(x, mask.visible)
    assert mask.visible.shape == (1, 39) and patches.hidden.shape == (1, 1412)
    target = model.target(x, patches.hidden)
    first = in_order(target, patches.hidden)[0, 0, :3]
    assert_close(first, torch.tensor([-0.01307, -1.51844, -0.58941]), atol=1e-5, rtol=0)
    for heads, loss in ((16, 1.170608), (8, 1.170658)):
        for block in model.decoder.blocks:
            block.attn.heads = heads
        prediction = model.decoder(latent, patches)
        assert (prediction - target).square().mean().item() == pytest.approx(loss, abs=2e-6)
        if heads == 16:
            first = in_order(prediction, patches.hidden)[0, 0, :3]
            assert_close(first, torch.tensor([-0.55459, -0.08085, 0.44770]), atol=1e-5, rtol=0)


# Millions of parameters of classifiers and of autoencoders, and multiply-adds of the first in 10^9.
SIZES = {
    "tiny_224": (27.91, 55.02, 4.91),
    "small_224": (35.01, 62.12, 6.42),
    "base_224": (51.52, 78.64, 9.40),
    "base_plus_224": (69.90, 97.58, 12.67),
    "large_224": (213.74, 242.88, 40.34),
    "huge_224": (672.78, 710.08, 124.85),
    "base_16x224": (51.09, 79.37, None),
    "base_plus_16x224": (69.39, 98.32, None),
    "large_16x224": (213.09, 243.62, None),
    "huge_16x224": (671.63, 710.86, None),
}


@pytest.mark.parametrize("size", SIZES)
def test_published_sizes(size):
    classifying, imagining, operations = SIZES[size]

    def pooling():
        model = create_model(f"hiera_{size}", positions="published")
        model.encoder.reset_classifier(400 if "x" in size else 1000)
        return model

    with torch.device("meta"):
        model = create_model(f"hiera_{size}", positions="published")
        encoder = pooling().encoder
    counts = [sum(p.numel() for p in part.parameters()) / 1e6 for part in (encoder, model)]
    assert counts == pytest.approx([classifying, imagining], abs=0.0051)
    if operations:  # those of all products of attention, too, within units and among all
        assert encoder_flops(pooling) / 2e9 == pytest.approx(operations, rel=0.003)


SMALL = {"width": 16, "heads": 2, "stages": (1, 2, 1, 2), "positions": "published"}
DECODER = {"decoder_width": 32, "decoder_depth": 2, "decoder_heads": 4}
THREE = {"stages": (2, 1, 2)}
BUILDS = [
    {"size": (64, 96)},
    {"size": (32, 96), "channels": 1},
    {"size": (48, 64), **THREE},
    {"size": (32, 64), "kernel": (5, 3), "stride": (2, 2)},
    {"size": (32, 32), "stages": (1, 2), "multi_scale": False},
    {"size": (64, 96), "multi_scale": False},
    {"size": (4, 64, 96)},
    {"size": (8, 64, 32), "channels": 2},
    {"size": (8, 32, 48), **THREE},
    {"size": (4, 32, 64), "kernel": (3, 7, 7), "stride": (1, 4, 4)},
]


def packaged(kind, build, **others):
    """The package's model that a build of ours describes."""
    film, stages = len(build["size"]) == 3, build.get("stages", SMALL["stages"])
    units = (2 ** (len(stages) - 1),) * 2
    kernel = build.get("kernel", (3, 7, 7) if film else (7, 7))
    return kind(
        input_size=build["size"],
        in_chans=build.get("channels", 3),
        embed_dim=build.get("width", 16),
        num_heads=2,
        stages=stages,
        q_stride=(1, 2, 2) if film else (2, 2),
        mask_unit_size=(1, *units) if film else units,
        mask_unit_attn=tuple(stage < len(stages) - 2 for stage in range(len(stages))),
        patch_kernel=kernel,
        patch_stride=build.get("stride", (2, 4, 4) if film else (4, 4)),
        patch_padding=tuple(side // 2 for side in kernel),
        sep_pos_embed=film,
        **others,
    )


def pair(build):
    """Ours and the package's autoencoder with the same weights, no bias of them zero."""
    name = FILM if len(build["size"]) == 3 else IMAGE
    ours = create_model(name, RandomMasker(0.6), **{**SMALL, **DECODER, **build})
    sides = {"decoder_embed_dim": 32, "decoder_depth": 2, "decoder_num_heads": 4}
    stages = build.get("stages", SMALL["stages"])
    theirs = packaged(MaskedAutoencoderHiera, build, q_pool=len(stages) - 2, **sides)
    for parameter in theirs.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    if not build.get("multi_scale", True):
        for head in list(theirs.multi_scale_fusion_heads)[:-1]:
            head.requires_grad_(False).apply(silence)
    copy(theirs, ours)
    return ours, theirs


def silence(head):
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)


def copy(theirs, ours):
    given, mine = dict(theirs.named_parameters()), official(ours)
    assert {name for name, p in given.items() if p.requires_grad} == set(mine)
    for name, parameter in mine.items():
        parameter.data.copy_(given[name].data)


def kept(ours, visible):
    """The package's mask: which units are kept."""
    none = torch.zeros(len(visible), ours.noise_size, dtype=torch.bool)
    return none.scatter(1, visible, True)


def same_gradients(ours, theirs):
    mine = official(ours)
    for name, parameter in theirs.named_parameters():
        if parameter.requires_grad:
            found, expected = mine[name].grad, parameter.grad
            largest = expected.abs().max()
            assert largest > 0 and (found - expected).abs().max() <= 1e-5 * largest, name


def same_losses(ours, theirs, x, mask, paths=None):
    """Loss, predictions, targets and every gradient of ours are the package's."""
    out = ours(x, mask, paths=paths)
    loss, prediction, label, _ = theirs(x, mask=kept(ours, mask.visible))
    hidden = ours.encoder.patches(mask).hidden
    assert_close(in_order(out.prediction, hidden).flatten(0, 1), prediction)
    assert_close(in_order(ours.target(x, hidden), hidden).flatten(0, 1), label)
    assert_close(out.loss.double(), loss, atol=1e-6, rtol=1e-6)
    out.loss.backward()
    loss.backward()
    same_gradients(ours, theirs)


def signals(build):
    return torch.randn(2, build.get("channels", 3), *build["size"], dtype=torch.float64)


@pytest.mark.parametrize("build", BUILDS, ids=str)
def test_losses_predictions_gradients(build):
    ours, theirs = (model.double() for model in pair(build))
    same_losses(ours, theirs, signals(build), ours.draw_mask(2))


class Dropped(nn.Module):
    """The package's drop path, whose chance is noise that was drawn before: (B, 2)."""

    def __init__(self, rate, noise):
        super().__init__()
        self.rate, self.noise = rate, list(noise.unbind(1))

    def forward(self, x):
        keep = (self.noise.pop(0) >= self.rate) / (1 - self.rate)
        return x * keep.view(-1, *[1] * (x.ndim - 1))


@pytest.mark.parametrize("build", [BUILDS[0], BUILDS[6]], ids=str)
def test_dropped_paths(build):
    """At the package's rates, attention's before the MLP's, block after block."""
    ours, theirs = (model.double() for model in pair(build))
    rated = packaged(Hiera, build, drop_path_rate=0.5)
    paths = torch.rand(1, ours.encoder.noise_size, dtype=torch.float64)
    paths[:, -2:] = torch.tensor([0.1, 0.9])  # attention of the last block is dropped, no MLP
    paths = torch.cat([paths, 1 - paths])  # whatever one sample drops, the other keeps
    for number, (block, other) in enumerate(zip(theirs.blocks, rated.blocks, strict=True)):
        rate = getattr(other.drop_path, "drop_prob", 0.0)
        block.drop_path = Dropped(rate, paths[:, 2 * number : 2 * number + 2])
    set_drop_path(ours.encoder, 0.5)
    same_losses(ours, theirs, signals(build), ours.draw_mask(2), paths)


@pytest.mark.parametrize("build", [BUILDS[0], BUILDS[2], BUILDS[6]], ids=str)
def test_logits_of_classifiers(build):
    pools = len(build.get("stages", SMALL["stages"])) - 1
    theirs = packaged(Hiera, build, q_pool=pools, num_classes=5).double()
    name = FILM if len(build["size"]) == 3 else IMAGE
    ours = classifier(create_model(name, **{**SMALL, **DECODER, **build}).encoder, 5).double()
    for parameter in theirs.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    copy(theirs, ours)
    x = signals(build)
    logits, expected = ours(x), theirs(x)
    assert_close(logits, expected)
    logits.square().sum().backward()
    expected.square().sum().backward()
    same_gradients(ours, theirs)
    # What its evaluation returns are probabilities.
    assert_close(ours.eval()(x).softmax(1), theirs.eval()(x))


def test_initialisation():
    """As that of the package's autoencoders: by name, the same distribution."""
    for build in (BUILDS[0], BUILDS[6]):
        build = {**build, "width": 32}
        name = FILM if len(build["size"]) == 3 else IMAGE
        ours = official(create_model(name, **{**SMALL, **DECODER, **build}))
        sides = {"decoder_embed_dim": 32, "decoder_depth": 2, "decoder_num_heads": 4}
        theirs = packaged(MaskedAutoencoderHiera, build, q_pool=2, **sides)
        for key, given in theirs.named_parameters():
            same_distribution(key, ours[key].detach(), given.detach())


def same_distribution(name, mine, given):
    assert mine.shape == given.shape, name
    if given.std() == 0:
        assert mine.equal(given), name
    else:
        rough = 0.1 if given.numel() > 1000 else 0.5
        assert mine.std().item() == pytest.approx(given.std().item(), rel=rough), name
        assert mine.abs().max().item() == pytest.approx(given.abs().max().item(), rel=rough), name
