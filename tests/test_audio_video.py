"""The encoder of sound and picture: what a sample lacks leaves no trace, whatever stands there."""

import sys
from pathlib import Path

import pytest
import torch
from timm.optim._param_groups import param_groups_layer_decay
from torch import nn
from torch.testing import assert_close

from maskedae.answers import Answers
from maskedae.classifier import Classifier
from maskedae.joint_head import JointHead
from maskedae.masking import Mask, RandomMasker
from maskedae.pairs import Pair, PairMasker
from maskedae.transformer import set_drop_path

sys.path.append(str(Path(__file__).parent))
from pairing import CLIPS, KINDS, SOUNDS, gradients, mavil, pair  # noqa: E402


@pytest.fixture(params=KINDS)
def encoder(request):
    return mavil(fusion=request.param).encoder.eval()


def some(batch):
    """What is visible of sound and of pictures."""
    sound = torch.stack([torch.randperm(SOUNDS)[:6] for _ in range(batch)])
    return sound, torch.stack([torch.randperm(CLIPS)[:7] for _ in range(batch)])


def test_class_tokens_come_first(encoder):
    signal, seen = pair(), some(2)
    x = encoder.forward_features(signal, seen)
    assert encoder.prefix == 2 and x.shape == (2, 2 + 6 + 7, 48)
    audio, video = encoder.latent(signal, seen)
    assert x.equal(torch.cat([audio[:, :1], video[:, :1], audio[:, 1:], video[:, 1:]], dim=1))
    assert encoder(signal, seen).equal(x[:, 2:])


def test_it_is_blind_to_what_is_hidden(encoder):
    signal, seen = pair(), some(2)
    audio, video = signal.audio.requires_grad_(), signal.video.requires_grad_()
    encoder.forward_features(signal, seen).square().sum().backward()
    for part, side, shown in zip(encoder.parts, (audio, video), seen, strict=True):
        kept = part.hide(side.grad, Mask(shown, shown))
        assert (side.grad[kept.isnan()] == 0).all() and (side.grad != 0).any()


@pytest.mark.parametrize("fill", [1e6, torch.nan, torch.inf])
def test_what_stands_for_what_is_absent_means_nothing(encoder, fill):
    present = (1, 0, 1, 0), (1, 1, 0, 0)
    signal, seen = pair(*present, fill=0.0), some(4)
    other = Pair(*(x.clone() for x in (signal.audio, signal.video)), *signal.present)
    other.audio[~other.heard], other.video[~other.seen] = fill, fill
    for ask in (encoder.forward_features, encoder.vectors):
        first, second = ask(signal, seen), ask(other, seen)
        assert_close(first, second, equal_nan=True, rtol=0, atol=0)
    grads = [
        gradients(
            encoder,
            sum(x.nansum() for x in (*encoder.latent(one, seen), *encoder.each(one, seen))),
        )
        for one in (signal, other)
    ]
    for name, grad in grads[0].items():
        assert grad.isfinite().all() and grad.equal(grads[1][name])


def test_what_is_absent_is_nan_and_the_rest_as_if_alone(encoder):
    signal = pair((1, 0), (0, 1))
    x = encoder.forward_features(signal)
    gone = x.isnan().all(dim=-1)
    assert gone.equal(x.isnan().any(dim=-1))
    first = [False, True, *[False] * SOUNDS, *[True] * CLIPS]
    assert gone.tolist() == [first, [not absent for absent in first]]
    audio, video = encoder.vectors(signal)
    assert audio.isnan().all(dim=1).tolist() == [False, True]
    assert video.isnan().all(dim=1).tolist() == [True, False]
    pooled = encoder.pool(x)
    assert pooled.isnan().tolist() == [[False] * 48 + [True] * 48, [True] * 48 + [False] * 48]


def test_nothing_changes_where_nothing_may_be_absent(encoder):
    signal = pair()
    before = encoder.forward_features(signal)
    encoder.lacking = False
    assert_close(encoder.forward_features(signal), before, rtol=1e-4, atol=1e-5)


def test_each_by_itself_knows_nothing_of_the_other(encoder):
    signal, seen = pair(), some(2)
    audio, video = encoder.each(signal, seen)
    assert audio.equal(encoder.audio.forward_features(signal.audio, seen[0]))
    assert video.equal(encoder.video.forward_features(signal.video, seen[1]))
    sound, picture = encoder.vectors(signal, seen)
    assert_close(sound, audio[:, 1:].mean(1))
    assert_close(picture, video[:, 1:].mean(1))


@pytest.mark.parametrize("modality", ["a", "v"])
def test_models_of_one_modality_are_the_parts(modality):
    whole, alone = mavil(), mavil(modality=modality)
    part = whole.encoder.audio if modality == "a" else whole.encoder.video
    alone.encoder.load_state_dict(part.state_dict())
    signal = pair()
    side = signal.audio if modality == "a" else signal.video
    tokens = whole.encoder.each(signal)[modality == "v"]
    assert alone.encoder.forward_features(side).equal(tokens)
    assert alone(side).loss.isfinite()


def test_a_masker_chooses_of_both(encoder):
    masker = PairMasker(RandomMasker(0.5), RandomMasker(0.75))
    noise = torch.rand(2, SOUNDS + CLIPS)
    audio, video = encoder.choose(masker, pair(), noise)
    assert audio.shape == (2, 16) and video.shape == (2, 8)
    assert audio[0].equal(noise[0, :SOUNDS].argsort()[:16])
    assert video[0].equal(noise[0, SOUNDS:].argsort()[:8])


def test_outputs_of_layers(encoder):
    signal = pair((1, 0), (1, 1))
    assert encoder.num_layers == 4
    last, found = encoder.forward_intermediates(signal, None, norm=True, output_fmt="NLC")
    assert_close(last, encoder.forward_features(signal), equal_nan=True)
    assert (
        len(found) == 4
        and found[-1].equal(
            last[:, 2:],
        )
        is False
    )  # NaN is unlike itself
    assert_close(found[-1], last[:, 2:], equal_nan=True)
    alone = torch.cat([x[:, 1:] for x in encoder.each(signal)], dim=1)
    assert_close(found[1], alone, equal_nan=True)
    pairs = encoder.forward_intermediates(
        signal, [0, -1], return_prefix_tokens=True, output_fmt="NLC", intermediates_only=True
    )
    assert [(x.shape, y.shape) for x, y in pairs] == [((2, 64, 48), (2, 2, 48))] * 2
    with pytest.raises(ValueError, match="output_fmt=NLC would fit"):
        encoder.forward_intermediates(signal)
    with pytest.raises(ValueError, match="modality=a or v would fit"):
        encoder.attended([], 0)


def test_what_it_refuses(encoder):
    with pytest.raises(ValueError, match="takes a Pair; modality=a or v loads"):
        encoder(torch.randn(2, 1, 64, 32))
    signal = pair()
    short = Pair(signal.audio[:, :, :32], signal.video, *signal.present)
    with pytest.raises(ValueError, match=r"\(1, 32, 32\) came to an encoder built for"):
        encoder(short)


def classifier(**settings):
    encoder = mavil(fusion="joint").encoder.eval()
    encoder.reset_classifier(3, **settings)
    nn.init.normal_(encoder.head.linear.weight)
    if encoder.head.replaces_norm:
        nn.init.normal_(encoder.head.norm.weight)
        nn.init.normal_(encoder.head.norm.bias)
    return encoder


def test_with_both_the_head_is_a_norm_and_a_linear_map():
    encoder, signal = classifier(), pair()
    x = encoder.forward_features(signal)
    pooled = torch.cat([x[:, 2 : 2 + SOUNDS].mean(1), x[:, 2 + SOUNDS :].mean(1)], dim=1)
    expected = encoder.head.linear(encoder.head.norm(pooled))
    there = encoder.there(signal)
    assert_close(encoder.forward_head(x, there=there), expected, rtol=1e-4, atol=1e-5)
    encoder.lacking = False
    assert encoder.there(signal) is None
    assert_close(encoder.forward_head(x), expected, rtol=1e-4, atol=1e-5)
    assert isinstance(encoder.norm, nn.Identity) and isinstance(encoder.audio.norm, nn.Identity)


@pytest.mark.parametrize("pool", ["mean", "class"])
def test_the_answer_of_one_is_that_of_half_the_head(pool):
    encoder = classifier(global_pool=pool)
    signal = pair((1, 0), (0, 1))
    x = encoder.forward_features(signal)
    answers = encoder.forward_head(x, there=encoder.there(signal))
    pooled = encoder.pool(x, pool)
    for row, half in ((0, slice(48)), (1, slice(48, None))):
        values, norm = pooled[row, half], encoder.head.norm
        if pool == "mean":
            weight, bias = norm.weight[half], norm.bias[half]
            values = nn.functional.layer_norm(values, (48,), weight, bias, norm.eps)
        expected = encoder.head.linear.weight[:, half] @ values + encoder.head.linear.bias
        assert_close(answers[row], expected, rtol=1e-4, atol=1e-5)


def test_visible_patches_tell_where_sound_ends():
    encoder, signal, seen = classifier(), pair(), some(2)
    x = encoder.forward_features(signal, seen)
    vectors = torch.cat([x[:, 2:8].mean(1), x[:, 8:].mean(1)], dim=1)
    expected = encoder.head.linear(encoder.head.norm(vectors))
    assert_close(encoder.forward_head(x, visible=seen), expected, rtol=1e-4, atol=1e-5)


def test_every_weight_of_a_classifier_learns():
    encoder = classifier()
    encoder.train()
    signal = pair((1, 0), (1, 1), fill=torch.nan)
    tokens, there = encoder.forward_features(signal), encoder.there(signal)
    grads = gradients(encoder, encoder.forward_head(tokens, there=there).sum())
    assert all(grad.isfinite().all() for grad in grads.values())


def test_a_batch_norm_takes_both():
    encoder, signal = classifier(batch_norm=True), pair()
    with pytest.raises(ValueError, match="--data.missing=skip fits"):
        encoder.forward_head(encoder.forward_features(signal), there=encoder.there(signal))
    encoder.lacking = False
    assert encoder.forward_head(encoder.forward_features(signal)).shape == (2, 3)


@pytest.mark.parametrize("lacking", [True, False])
def test_what_diverged_gives_no_answer(lacking):
    model = Classifier(mavil().encoder, Answers("class", ("a", "b"))).eval()
    model.encoder.lacking = lacking
    signal = pair((1, 1), (1, 1 - lacking))
    assert model(signal).isfinite().all()
    nn.init.constant_(model.encoder.audio.blocks[0].mlp.fc1.bias, torch.nan)
    assert model(signal).isnan().all()


def test_dropout_of_the_head():
    head = JointHead(8, 2, dropout=0.5).train()
    nn.init.ones_(head.linear.weight)
    x, noise = torch.randn(1, 8), torch.tensor([[0.1, 0.9] * 4])
    expected = 2 * head.norm(x)[:, 1::2].sum()
    assert_close(head(x, noise=noise)[0, 0], expected)


def test_a_head_starts_from_the_last_norm():
    encoder = mavil().encoder
    nn.init.normal_(encoder.norm.weight)
    weight = encoder.norm.weight.clone()
    encoder.reset_classifier(3, keep_norm=True)
    assert encoder.head.norm.weight.equal(weight.repeat(2))
    assert encoder.num_features == encoder.head_hidden_size == 96 and encoder.num_classes == 3


def test_noise_says_which_paths_are_dropped(encoder):
    encoder.train()
    set_drop_path(encoder, 0.5)
    signal = pair()
    assert encoder.noise_size == 2 * encoder.depth
    noise = torch.rand(2, encoder.noise_size)
    first, again = (encoder.forward_features(signal, noise=noise) for _ in range(2))
    assert first.equal(again)
    blocks = encoder.noise_size // 2
    for number in range(blocks):  # of each the second path; none in the first of each side
        other = torch.full((2, encoder.noise_size), 0.9)
        other[:, 2 * number + 1] = 0.0
        whole = encoder.forward_features(signal, noise=torch.full_like(other, 0.9))
        changed = not encoder.forward_features(signal, noise=other).allclose(whole)
        assert changed == (number not in (0, 2))


def test_layers_learn_at_rates_of_their_own(encoder):
    groups = param_groups_layer_decay(encoder, 0.05, encoder.no_weight_decay(), layer_decay=0.5)
    names = {id(p): name for name, p in encoder.named_parameters()}
    rates = {names[id(p)]: group["lr_scale"] for group in groups for p in group["params"]}
    for side in ("audio", "video"):
        assert rates[f"{side}.embed.weight"] == rates[f"{side}.class_token"]
        assert rates[f"{side}.blocks.0.norm1.weight"] == 2 * rates[f"{side}.embed.weight"]
        assert rates[f"{side}.blocks.1.norm1.weight"] == 4 * rates[f"{side}.embed.weight"]
    met = {name: rate for name, rate in rates.items() if name.startswith("fusion") and "0." in name}
    assert set(met.values()) == {8 * rates["audio.embed.weight"]}
    assert rates["norm.weight"] == 1
    kept = [p for group in groups if not group["weight_decay"] for p in group["params"]]
    spared = {names[id(p)] for p in kept}
    assert {"audio.class_token", "video.class_token"} <= spared
