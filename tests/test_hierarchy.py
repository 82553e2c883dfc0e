"""Hiera as an encoder: what must be true of it beyond what is true of any masked autoencoder."""

import copy
import math
import re
from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

import maskedae
from maskedae import Mask, RandomMasker, create_model, list_models
from maskedae.answers import Answers
from maskedae.attention import record_maps, set_kernel
from maskedae.classifier import Classifier
from maskedae.masking import take
from maskedae.optim import adamw
from maskedae.patches import patchify, unpatchify
from maskedae.ragged import suit
from maskedae.transformer import set_checkpointing, set_drop_path
from maskedae.units import places
from maskedae.weights import EncoderOnly, load_with_report
from maskedae.zoo import model_config

SMALL = {
    "width": 8,
    "heads": 2,
    "stages": (1, 2, 1, 2),
    "decoder_width": 16,
    "decoder_depth": 1,
    "decoder_heads": 2,
}
IMAGE, FILM = "hiera_base_224", "hiera_base_16x224"
CASES = {
    "image": (IMAGE, {"size": (64, 96)}),
    "published": (IMAGE, {"size": (96, 64), "positions": "published"}),
    "three": (IMAGE, {"size": (32, 48), "stages": (1, 1, 2)}),
    "fine": (IMAGE, {"size": (32, 32), "kernel": (3, 3), "stride": (2, 2), "channels": 1}),
    "film": (FILM, {"size": (4, 64, 64)}),
    "film of three": (FILM, {"size": (6, 32, 48), "stages": (1, 1, 1), "positions": "published"}),
}


@pytest.fixture(params=CASES)
def case(request):
    """A model that hides half of the mask units, and signals."""
    name, changes = CASES[request.param]
    model = create_model(name, RandomMasker(0.5), **{**SMALL, **changes})
    channels = changes.get("channels", 3)
    return model, torch.randn(2, channels, *model.encoder.size)


@pytest.fixture
def model():
    return create_model(IMAGE, RandomMasker(0.5), size=(64, 96), **SMALL)


def test_a_mask_of_units_is_one_of_patches(case):
    model, _ = case
    encoder, mask = model.encoder, model.draw_mask(2)
    assert torch.cat(mask, dim=1).sort(1).values.equal(torch.arange(model.noise_size).repeat(2, 1))
    patches = encoder.patches(mask)
    each = patches.visible.shape[1] // mask.visible.shape[1]
    count = each * model.noise_size
    assert torch.cat(patches, dim=1).sort(1).values.equal(torch.arange(count).repeat(2, 1))
    # Patches of a unit are where it is: what hidden units cover is what hidden patches are.
    x = torch.zeros(2, 3, *encoder.size)
    seen = encoder.hide(x, mask)
    patch = patch_of(model)
    gone = patchify(seen, patch).isnan()
    assert gone.all(-1).equal(gone.any(-1))
    assert gone.all(-1).nonzero()[:, 1].view(2, -1).equal(patches.hidden.sort(1).values)


def patch_of(model):
    """Sides of the patches that are predicted."""
    encoder = model.encoder
    return tuple(side // step for side, step in zip(encoder.unit, encoder.embed.steps, strict=True))


def test_patches_are_put_together_in_the_order_of_the_grid(case):
    model, x = case
    assert model.encoder.whole(patchify(x, patch_of(model))).equal(x)


def test_what_is_hidden_is_hidden_and_nothing_else(case):
    model, x = case
    mask = model.draw_mask(2)
    units = patchify(model.encoder.hide(x, mask), model.encoder.unit)
    assert take(units, mask.hidden).isnan().all()
    assert take(units, mask.visible).equal(take(patchify(x, model.encoder.unit), mask.visible))


def test_all_units_made_visible_are_a_signal_without_a_mask(case):
    model, x = case
    encoder = model.encoder
    count = math.prod(encoder.grid)
    every = torch.stack([torch.randperm(count) for _ in x])
    order = encoder.patches(Mask(every, every[:, :0])).visible
    found, expected = encoder(x, every), encoder(x)
    assert_close(found, take(expected, order), atol=1e-5, rtol=1e-5)
    encoder.reset_classifier(3)  # tokens are units now
    assert encoder(x).shape == (2, count, encoder.width)
    assert_close(encoder(x, every), take(encoder(x), every), atol=1e-5, rtol=1e-5)


def test_the_encoder_is_blind_to_what_is_hidden(case):
    model, x = case
    x.requires_grad_()
    mask = model.draw_mask(2)
    for end in model.encoder.latent(x, mask.visible):
        (gradient,) = torch.autograd.grad(end.square().sum(), x, retain_graph=True)
        gradient = patchify(gradient, model.encoder.unit)
        assert (take(gradient, mask.hidden) == 0).all()
        assert (take(gradient, mask.visible) != 0).any(dim=-1).all()


@torch.no_grad()
def test_imagining_is_blind_to_what_is_hidden(case):
    model, x = case
    mask, unit = model.draw_mask(2), model.encoder.unit
    index = mask.visible.unsqueeze(-1).expand(-1, -1, patchify(x, unit).shape[-1])
    other = patchify(torch.randn_like(x), unit).scatter(
        1, index, take(patchify(x, unit), mask.visible)
    )
    other = unpatchify(other, model.encoder.grid, unit)
    first, second = (model.imagine(signal, mask).nan_to_num() for signal in (x, other))
    assert first.equal(second) and first.any()
    assert not model(x, mask=mask).loss.equal(model(other, mask=mask).loss)


@torch.no_grad()
@torch.no_grad()
def test_hidden_values_may_be_anything(case):
    """What is drawn as hidden is NaN, and nothing may come of that."""
    model, x = case
    mask = model.draw_mask(2)
    blind = model.encoder.hide(x, mask)
    assert blind.isnan().any()
    pairs = zip(*(model.encoder.latent(s, mask.visible) for s in (x, blind)), strict=True)
    assert all(seen.equal(found) for seen, found in pairs)


@torch.no_grad()
def test_an_encoder_that_works_as_in_a_classifier_is_pre_trained_as_before(case, tmp_path):
    model, x = case
    mask = model.draw_mask(2)
    before, tokens = model(x, mask=mask), model.encoder(x)
    model.encoder.tuned = True
    after = model(x, mask=mask)
    assert after.loss.equal(before.loss) and after.prediction.equal(before.prediction)
    assert model.encoder(x).shape[1] < tokens.shape[1]
    EncoderOnly(model.encoder, "here").save_pretrained(tmp_path)
    loaded = load_with_report(tmp_path)
    assert loaded.model.encoder.tuned and loaded.model.encoder(x).equal(model.encoder(x))
    model.encoder.tuned = False
    EncoderOnly(model.encoder, "here").save_pretrained(tmp_path)
    assert "tuned" not in load_with_report(tmp_path).recipe


@pytest.mark.parametrize("asked", ["windowed", "published"])
def test_positions_of_another_kind_are_refused_in_words(tmp_path, asked):
    other = {"windowed": "published", "published": "windowed"}[asked]
    create_model(IMAGE, size=(64, 64), positions=other, **SMALL).save_pretrained(tmp_path)
    for size in ((64, 64), (96, 64)):
        with pytest.raises(ValueError, match="setting for positions has to be the file's"):
            maskedae.load(tmp_path, positions=asked, size=size)


def test_the_order_of_units_does_not_matter(case):
    model, x = case
    mask = model.draw_mask(2)
    first = model(x, mask=mask)
    second = model(x, mask=Mask(mask.visible.flip(1), mask.hidden.flip(1)))
    each = first.prediction.shape[1] // mask.hidden.shape[1]
    flipped = second.prediction.unflatten(1, (-1, each)).flip(1).flatten(1, 2)
    assert_close(first.prediction, flipped, atol=1e-5, rtol=1e-5)
    assert_close(first.loss, second.loss)


@torch.no_grad()
def test_imagined_patches_are_those_predicted(case):
    model, x = case
    mask = model.draw_mask(2)
    hidden = model.encoder.patches(mask).hidden
    imagined = model.imagine(x, mask, oracle=True)
    given = torch.zeros_like(model.target(x, torch.arange(imagined.shape[1]).expand(2, -1)))
    index = hidden.unsqueeze(-1).expand(-1, -1, given.shape[-1])
    given = given.scatter(1, index, model(x, mask=mask).prediction)
    expected = model.target.restore(given, x, model.encoder.patches(mask), oracle=True)
    assert_close(take(imagined, hidden), take(expected, hidden), equal_nan=True)


def test_every_parameter_learns_and_a_batch_can_be_overfitted(case):
    model, x = case
    optimizer, noise = torch.optim.AdamW(model.parameters(), lr=1e-2), torch.rand(2, 400)
    noise = noise[:, : model.noise_size]
    first = model(x, noise=noise).loss
    first.backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad.abs().sum() > 0, key
    for _ in range(80):
        optimizer.zero_grad()
        loss = model(x, noise=noise).loss
        loss.backward()
        optimizer.step()
    assert loss < 0.7 * first


@pytest.mark.parametrize("name", list_models("hiera_*"))
def test_every_model_takes_a_step_at_an_odd_size(name):
    size = (6, 32, 96)[-len(model_config(name).size) :]
    changes = {**SMALL, "size": size}
    model = create_model(name, RandomMasker(0.6), channels=2, **changes)
    model(torch.randn(2, 2, *size)).loss.backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("pools", [2, 3])
def test_features_of_stages(model, pools):
    encoder, x = model.encoder, torch.randn(2, 3, 64, 96)
    if pools == 3:
        encoder.reset_classifier(5)
    assert encoder.pools == pools and encoder.num_layers == 4 and encoder.depth == 6
    final, maps = encoder.forward_intermediates(x)
    strides = [4, 8, 16, 16 if pools == 2 else 32]
    assert [info["reduction"] for info in encoder.feature_info] == strides
    assert [info["num_chs"] for info in encoder.feature_info] == [8, 16, 32, 64]
    assert [info["module"] for info in encoder.feature_info] == [
        f"blocks.{number}" for number in (0, 2, 3, 5)
    ]
    for stride, width, found in zip(strides, (8, 16, 32, 64), maps, strict=True):
        assert found.shape == (2, width, 64 // stride, 96 // stride)
    assert_close(final, encoder.forward_features(x))
    if pools == 2:
        normed = encoder.forward_intermediates(x, [-1], norm=True, output_fmt="NLC")[1][0]
        assert_close(normed, final)
    else:
        assert_close(encoder.norm(maps[-1].flatten(2).transpose(1, 2)), final)


def test_features_as_tokens_and_in_pairs(model):
    encoder, x = model.encoder, torch.randn(2, 3, 64, 96)
    maps = encoder.forward_intermediates(x, [0, -1], intermediates_only=True)
    tokens = encoder.forward_intermediates(x, [0, -1], output_fmt="NLC", intermediates_only=True)
    for a, b in zip(maps, tokens, strict=True):
        assert a.flatten(2).transpose(1, 2).equal(b)
    pairs = encoder.forward_intermediates(
        x, 2, return_prefix_tokens=True, output_fmt="NLC", intermediates_only=True
    )
    assert [(a.shape, b.shape) for a, b in pairs] == [
        ((2, 24, 32), (2, 0, 32)),
        ((2, 24, 64), (2, 0, 64)),
    ]
    final, also = encoder.forward_intermediates(x, [-1], return_prefix_tokens=True)
    assert_close(final, encoder.forward_features(x))
    assert also[0][0].shape == (2, 64, 4, 6)
    normed = encoder.forward_intermediates(x, norm=True, output_fmt="NLC", intermediates_only=True)
    for found in normed:
        assert_close(found.mean(-1), torch.zeros(found.shape[:2]), atol=1e-5, rtol=0)


def test_stopping_early_gives_the_same_and_computes_less(model):
    encoder, x = model.encoder, torch.randn(2, 3, 64, 96)
    calls = []
    encoder.blocks[3].register_forward_hook(lambda *_: calls.append(1))
    options = {"indices": [0, 1], "intermediates_only": True}
    early = encoder.forward_intermediates(x, stop_early=True, **options)
    assert not calls
    late = encoder.forward_intermediates(x, **options)
    assert calls and all(a.equal(b) for a, b in zip(early, late, strict=True))
    for tuned in (False, True):
        encoder.tuned = tuned
        last, maps = encoder.forward_intermediates(x, [1], stop_early=True, norm=True)
        assert last.equal(maps[0].flatten(2).transpose(1, 2))
    with pytest.raises(ValueError, match="there is no stage 4: the encoder has 0 to 3"):
        encoder.forward_intermediates(x, [4])


@pytest.mark.parametrize("stages", [(1, 1, 1, 2), (1, 2, 2, 1), (1, 1, 3, 2)])
@pytest.mark.parametrize("pools", [2, 3])
@torch.no_grad()
def test_where_heads_look(stages, pools):
    encoder = create_model(IMAGE, size=(64, 96), **{**SMALL, "stages": stages}).encoder
    if pools == 3:
        encoder.reset_classifier(5)
    x = torch.randn(2, 3, 64, 96)
    with record_maps(encoder) as maps:
        encoder.forward_features(x)
    for layer in (0, 1) if stages[2] > 1 else (0, 1, 2):
        with pytest.raises(ValueError, match=f"stage {layer} attends within mask units"):
            encoder.attended(maps, layer)
    if stages[2] > 1:
        assert encoder.attended(maps, 2).shape == (2, 8, 4, 6)
    looks = encoder.attended(maps, 3)
    # Where the last stage is one block, it looks at tokens that are not pooled yet.
    side = 16 if pools == 2 or stages[3] == 1 else 32
    assert looks.shape == (2, 16, 64 // side, 96 // side)
    assert_close(looks.sum((2, 3)), torch.ones(2, 16))


@pytest.mark.parametrize(("layer", "grid"), [(2, (4, 6)), (3, (2, 3))])
@torch.no_grad()
def test_what_all_look_at_is_drawn_where_it_stands(layer, grid):
    encoder = create_model(IMAGE, size=(64, 96), **{**SMALL, "stages": (1, 1, 2, 2)}).encoder
    encoder.reset_classifier(5)
    bright = torch.zeros(1, 1, math.prod(grid))
    bright[..., -grid[1] - 1] = 1  # the end of the last row but one
    order = places(encoder.grid, (2, 2), 3 - layer).flatten()
    recorded = [torch.empty(0)] * encoder.depth
    recorded[2 * layer - 1] = bright[..., order].unsqueeze(2).expand(-1, -1, len(order), -1)
    looks = encoder.attended(recorded, layer)
    assert looks.flatten(2).equal(bright) and looks.shape == (1, 1, *grid)


REFUSED = [
    ({"size": (65, 96)}, r"units of \(32, 32\) do not tile.*\(64, 96\) would fit"),
    ({"size": (8, 64, 96)}, r"size of \(8, 64, 96\) has 3 sides, and this model takes images"),
    ({"stages": (4,)}, r"stages of \(4,\) blocks: two or more, of a block or more, fit"),
    ({"stages": (1, 0, 2)}, r"stages of \(1, 0, 2\) blocks"),
    ({"stages": ()}, r"stages of \(\) blocks"),
    ({"kernel": (4, 4)}, r"kernels of \(4, 4\) every \(4, 4\) have no centre"),
    ({"kernel": (3, 3)}, r"kernels of \(3, 3\) every \(4, 4\).*leave gaps"),
    ({"heads": 3}, "a width of 8 does not divide into 3 heads"),
    ({"decoder_heads": 3}, "a width of 16 does not divide into 3 heads"),
    ({"attention": "fast"}, "no attention kernel is called fast"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_settings_that_do_not_fit_are_refused_in_words(changes, message):
    with pytest.raises(ValueError, match=message):
        create_model(IMAGE, **{"size": (64, 96), **SMALL, **changes})


@pytest.mark.parametrize("shape", [(3, 96, 64), (1, 64, 96), (3, 8, 64, 96)])
def test_signals_of_another_shape_are_refused(model, shape):
    with pytest.raises(ValueError, match=r"built for \(3, 64, 96\).*size="):
        model.encoder(torch.randn(2, *shape))


WRONG = [
    ({"stride": (2, 2, 2)}, "stride of .* has 3 sides, and this model takes images: 2 would fit"),
    ({"size": (-8, 32)}, "size of .* sides of 1 or more"),
    ({"stride": 0}, "stride of .* sides of 1 or more"),
    ({"width": 0}, "a width of 0 in the first stage"),
    ({"heads": -1}, "a number of heads of -1 in the first stage"),
    ({"decoder_depth": 0}, "depth of 0: 1 or more would fit"),
    ({"decoder_heads": 0}, "heads of 0: 1 or more would fit"),
    ({"channels": 0}, "signals of 0 channels"),
    ({"positions": "foo"}, "no positions are called foo; windowed and published fit"),
    ({"size": (32, 32)}, "one patch or mask unit alone"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_numbers_that_make_no_model_are_refused_in_words(changes, message):
    with pytest.raises(ValueError, match=message):
        create_model(IMAGE, **{**SMALL, "size": (64, 64), **changes}).draw_mask(1)


def test_masks_of_other_grids_are_refused_in_words(model):
    x = torch.randn(2, 3, 64, 96)
    with pytest.raises(ValueError, match="shows 2 and hides 2: some and some of 6 would fit"):
        model(x, mask=RandomMasker(0.5)(2, (2, 2)))
    with pytest.raises(ValueError, match="shows 0 and hides 6"):
        model(x, mask=Mask(torch.empty(2, 0, dtype=torch.int64), torch.arange(6).repeat(2, 1)))
    with pytest.raises(ValueError, match="a mask for 3 samples came with 2 of them"):
        model(x, mask=model.draw_mask(3))
    with pytest.raises(ValueError, match="the last 9 of 4 stages: 1 to 4 would fit"):
        model.encoder.forward_intermediates(x, 9)


def test_there_is_no_class_token(model):
    with pytest.raises(ValueError, match="no class token"):
        model.encoder.reset_classifier(3, "class")
    assert model.encoder.num_prefix_tokens == 0


def test_data_that_end_early_are_refused(model):
    with pytest.raises(ValueError, match="cannot end early: --data.short=zeros would fit"):
        suit(model, SimpleNamespace(ragged=True, ends_at=32))
    suit(model, SimpleNamespace(ragged=False))
    assert not model.encoder.ragged


@torch.no_grad()
@pytest.mark.parametrize("kernel", ["eager", "sdpa-math"])
def test_kernels_give_the_same(case, kernel):
    model, x = case
    mask = model.draw_mask(2)
    before = model(x, mask=mask).prediction
    set_kernel(model, kernel)
    assert_close(model(x, mask=mask).prediction, before)


@pytest.mark.parametrize("name", ["three", "film of three"])
def test_it_compiles_as_one_graph_forward_and_backward(name):
    name, changes = CASES[name]
    model = create_model(name, RandomMasker(0.5), **{**SMALL, **changes, "stages": (1, 1, 1)})
    set_drop_path(model.encoder, 0.4)
    x, mask = torch.randn(2, 3, *model.encoder.size), model.draw_mask(2)
    paths = torch.rand(2, model.encoder.noise_size)
    compiled, found = torch.compile(model, backend="eager", fullgraph=True), []
    for run in (model, compiled):
        model.zero_grad()
        out = run(x, mask=mask, paths=paths)
        out.loss.backward()
        found.append([out.loss.detach(), *(p.grad.clone() for p in model.parameters())])
    for a, b in zip(*found, strict=True):
        assert_close(a, b)


def test_checkpointing_changes_no_gradient(model):
    x, noise = torch.randn(2, 3, 64, 96), torch.rand(2, 6)
    model(x, noise=noise).loss.backward()
    kept = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    set_checkpointing(model, True)
    model(x, noise=noise).loss.backward()
    assert all(p.grad.equal(kept[name]) for name, p in model.named_parameters())


@pytest.mark.parametrize("rate", [0, 1e-9])
def test_half_precision_runs_and_adds_up_in_full(case, rate):
    model, x = case
    mask = model.draw_mask(2)
    exact = model(x, mask=mask).loss
    set_drop_path(model.encoder, rate)
    with torch.autocast("cpu", torch.bfloat16):
        out = model(x, mask=mask)
        assert all(end.dtype == torch.float32 for end in model.encoder.stages(x, mask.visible))
    out.loss.backward()
    assert out.loss.dtype == torch.float32 and torch.isclose(out.loss, exact, rtol=0.02)
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_a_classifier_pools_once_more_and_drops_its_head(model):
    encoder, x = model.encoder, torch.randn(2, 3, 64, 96)
    assert encoder.forward_head(encoder.forward_features(x)).shape == (2, 64)
    encoder.reset_classifier(5, dropout=0.5)
    features = encoder.forward_features(x)
    assert features.shape == (2, 6, 64)
    noise = torch.rand(2, encoder.noise_size)
    logits = encoder.forward_head(features, noise=noise)
    assert logits.shape == (2, 5) and logits.equal(encoder.forward_head(features, noise=noise))
    assert not logits.equal(encoder.forward_head(features, noise=1 - noise))
    encoder.reset_classifier(0)
    assert encoder.num_classes == 0


def test_layers_for_decay_are_blocks_and_tables_are_spared(case):
    model, _ = case
    encoder = model.encoder
    classifier = Classifier(copy.deepcopy(encoder), Answers("class", tuple("abc")))
    names = {parameter: name for name, parameter in classifier.named_parameters()}
    for group in adamw(classifier, 0.05, (0.9, 0.999), 0.5).param_groups:
        for name in (names[parameter] for parameter in group["params"]):
            block = re.match(r"encoder\.blocks\.(\d+)", name)
            above = classifier.encoder.depth - int(block[1]) if block else 0
            if name.startswith(("encoder.embed", "encoder.positions")):
                above = classifier.encoder.depth + 1
            assert group["lr_scale"] == 0.5**above, name
            assert "positions" not in name or group["weight_decay"] == 0
    spared = {name for name, p in encoder.named_parameters() if name.startswith("positions.")}
    assert spared and spared == encoder.no_weight_decay() - {"class_token"}
    assert {f"encoder.{name}" for name in spared} == set(model.undecayed)


@pytest.mark.parametrize("positions", ["windowed", "published"])
@torch.no_grad()
def test_another_size_is_told_and_works(tmp_path, capsys, positions):
    small = create_model(IMAGE, size=(64, 64), positions=positions, **SMALL)
    small.save_pretrained(tmp_path)
    large = maskedae.load(tmp_path, size=(128, 192))
    said = capsys.readouterr().err
    how = {"windowed": "bicubic, those within mask units as they are", "published": "bicubic"}
    assert f"encoder.positions from (16, 16) to (32, 48), {how[positions]}\n" in said
    assert "decoder.positions from (4, 4) to (8, 12), bicubic" in said and "0 missing" in said
    assert large(torch.randn(1, 3, 128, 192)).loss.isfinite()
    if positions == "windowed":
        kept, old = large.encoder.positions, small.encoder.positions
        assert kept.tile.equal(old.tile) and kept.table.shape == (1, 8, 8, 12)


@torch.no_grad()
def test_more_frames_are_told(tmp_path, capsys):
    for positions in ("windowed", "published"):
        film = create_model(FILM, size=(4, 32, 32), positions=positions, **SMALL)
        film.save_pretrained(tmp_path / positions)
        longer = maskedae.load(tmp_path / positions, masker=RandomMasker(0.5), size=(8, 32, 32))
        said = capsys.readouterr().err
        assert "encoder.positions from (2, 8, 8) to (4, 8, 8), time 2 -> 4, linear" in said
        assert longer(torch.randn(1, 3, 8, 32, 32)).loss.isfinite()
