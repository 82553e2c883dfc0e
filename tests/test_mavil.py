"""MAViL: what it learns from, what leaves no trace, and what it starts from."""

import math
import socket
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.testing import assert_close

from maskedae.autoencoder import MaskedAutoencoder
from maskedae.checkpoints import write_weights
from maskedae.contrast import info_nce
from maskedae.masking import RandomMasker, take
from maskedae.pairs import Pair, PairMasker
from maskedae.patches import patchify
from maskedae.transformer import keep_paths, set_checkpointing, set_drop_path
from maskedae.weights import load_with_report
from maskedae.zoo import model_config

sys.path.append(str(Path(__file__).parent))
from pairing import CLIPS, KINDS, SOUNDS, TINY, gradients, mavil, pair  # noqa: E402

STAGES = ("signal", "features")


def taught(model, signal):
    """What stage 2 is told; nothing in stage 1."""
    return None if model.targets else mavil().teach(signal)


@pytest.mark.parametrize("settings", [{}, {"normalize_target": False}, {"fusion": "bottleneck"}])
def test_the_loss_is_the_sum_of_its_terms(settings):
    model, signal = mavil(**settings).eval(), pair((1, 1, 1), (1, 1, 1))
    masks = model.draw_mask(3)
    out = model(signal, masks)
    m, encoder = out.metrics, model.encoder
    total = m["audio"] + m["video"] + 0.1 * m["inter"] + 0.01 * m["intra"]
    assert_close(out.loss, total)
    first, second = (encoder.vectors(signal, [m.visible for m in view]) for view in masks)
    assert_close(m["inter"], info_nce(*first, 0.1))
    intra = [info_nce(x, y, 1.0, symmetric=False) for x, y in zip(first, second, strict=True)]
    assert_close(m["intra"], sum(intra) / 2)
    sides = (signal.audio, signal.video)
    for name, x, target, side, mask in zip(
        ("audio", "video"), out.prediction, model.targets, sides, masks[0], strict=True
    ):
        assert_close(m[name], F.mse_loss(x, target(side, mask.hidden)))
    assert out.prediction[0].shape == (3, 26, 64) and out.prediction[1].shape == (3, 26, 384)


def test_a_weight_of_zero_leaves_a_term_out():
    both = 2 * (SOUNDS + CLIPS)
    for inter, intra, size in ((0.1, 0.0, both // 2), (0.0, 0.1, both), (0.0, 0.0, both // 2)):
        model = mavil(inter_weight=inter, intra_weight=intra)
        out = model(pair(), noise=torch.rand(2, model.noise_size))
        assert model.noise_size == size and len(out.mask) == model.views
        assert ("inter" in out.metrics, "intra" in out.metrics) == (inter > 0, intra > 0)


@pytest.mark.parametrize("fusion", KINDS)
@pytest.mark.parametrize("predicts", STAGES)
@pytest.mark.parametrize("weight", [0.1, 0.0])
@pytest.mark.parametrize("present", [((1, 1), (1, 1)), ((1, 0), (0, 0)), ((0, 0), (0, 1))])
def test_every_weight_gets_a_finite_gradient(fusion, predicts, weight, present):
    weights = {"inter_weight": weight, "intra_weight": weight}
    model, signal = (
        mavil(fusion=fusion, predicts=predicts, **weights),
        pair(*present, fill=math.nan),
    )
    out = model(signal, taught=taught(model, signal))
    found = gradients(model, out.loss)
    assert all(grad.isfinite().all() for grad in found.values())
    assert ("encoder.audio.norm.weight" in found) == (weight > 0)


@pytest.mark.parametrize("predicts", STAGES)
def test_predictions_are_blind_to_what_is_hidden(predicts):
    model, signal = mavil(predicts=predicts).eval(), pair()
    told, masks = taught(model, signal), model.draw_mask(2)
    audio, video = signal.audio.requires_grad_(), signal.video.requires_grad_()
    out = model(signal, masks, taught=told)
    sum(x.square().sum() for x in out.prediction).backward()
    for side, patch, mask in zip((audio, video), ((8, 8), (2, 8, 8)), masks[0], strict=True):
        gradient = patchify(side.grad, patch)
        assert (take(gradient, mask.hidden) == 0).all()
        assert (take(gradient, mask.visible) != 0).any(dim=-1).all()


def test_each_is_imagined_from_both():
    model, signal = mavil().eval(), pair()
    for mine, other in ((0, "video"), (1, "audio")):
        side = getattr(signal, other).requires_grad_()
        prediction = model(signal).prediction[mine]
        (grad,) = torch.autograd.grad(prediction.square().sum(), side)
        assert (grad != 0).any()


PRESENT = (1, 1, 0, 1, 0), (1, 0, 1, 1, 0)


@pytest.mark.parametrize("fusion", KINDS)
@pytest.mark.parametrize("predicts", STAGES)
@pytest.mark.parametrize("fill", [1e6, torch.nan])
def test_what_stands_for_what_is_absent_means_nothing(fusion, predicts, fill):
    model = mavil(fusion=fusion, predicts=predicts)
    signal, masks = pair(*PRESENT, fill=0.0), model.draw_mask(5)
    other = Pair(signal.audio.clone(), signal.video.clone(), *signal.present)
    other.audio[~other.heard], other.video[~other.seen] = fill, fill
    told = taught(model, signal)
    if told:
        again = told[0].nan_to_num(7), told[1].nan_to_num(7)
    outs = [model(signal, masks, taught=told), model(other, masks, taught=again if told else None)]
    assert outs[0].loss.equal(outs[1].loss)
    grads = [gradients(model, out.loss) for out in outs]
    assert all(grad.equal(grads[1][name]) for name, grad in grads[0].items())


def test_only_what_is_there_counts():
    model, signal = mavil().eval(), pair(*PRESENT)
    masks = model.draw_mask(5)
    found, (heard, seen) = model(signal, masks).metrics, signal.present

    def some(rows):
        def of(mask):
            return type(mask)(mask.visible[rows], mask.hidden[rows])

        return model(signal[rows], tuple((of(a), of(v)) for a, v in masks)).metrics

    assert_close(found["audio"], some(heard)["audio"])
    assert_close(found["video"], some(seen)["video"])
    assert_close(found["inter"], some(heard & seen)["inter"])
    views = [model.encoder.vectors(signal, [m.visible for m in view]) for view in masks]
    intra = [
        info_nce(x[there], y[there], 1.0, symmetric=False)
        for x, y, there in zip(*views, (heard, seen), strict=True)
    ]
    assert_close(found["intra"], sum(intra) / 2)


def test_nothing_changes_where_nothing_may_be_absent():
    model, signal = mavil().eval(), pair()
    masks = model.draw_mask(2)
    before = model(signal, masks)
    model.encoder.lacking = False
    after = model(signal, masks)
    assert_close(after.loss, before.loss)
    assert after.metrics.keys() == before.metrics.keys()


def test_the_same_noise_gives_the_same_masks():
    model, noise = mavil(), torch.rand(2, 2 * (SOUNDS + CLIPS))
    first, again = model.draw_mask(2, noise), model.draw_mask(2, noise)
    for view, other in zip(first, again, strict=True):
        for mask, same in zip(view, other, strict=True):
            assert mask.visible.equal(same.visible) and mask.visible.shape == (2, 6)
    assert not first[0][0].visible.equal(first[1][0].visible)
    halves = noise.chunk(2, dim=1)
    assert first[1][1].visible.equal(halves[1][:, SOUNDS:].argsort()[:, :6])


def test_masks_of_another_kind_are_refused():
    model = mavil()
    with pytest.raises(ValueError, match="of views, signals and samples would fit"):
        model(pair(), mavil(intra_weight=0.0).draw_mask(2))
    with pytest.raises(ValueError, match="of views, signals and samples would fit"):
        model(pair(), model.draw_mask(3))


def test_a_teacher_sees_all_and_is_not_taught():
    teacher, signal = mavil().eval(), pair((1, 0), (1, 1))
    audio, video = teacher.teach(signal)
    assert audio.shape == (2, SOUNDS, 48) and video.shape == (2, CLIPS, 48)
    tokens = teacher.encoder(signal)
    assert_close(audio[0], F.layer_norm(tokens[0, :SOUNDS], (48,)))
    assert audio[1].isnan().all() and video.isfinite().all() and not audio.requires_grad
    student = mavil(predicts="features")
    assert student.decoder["audio"].head.out_features == 48 and not student.needs_statistics
    masks = student.draw_mask(2)
    out = student(signal, masks, taught=(audio, video))
    hidden = take(video, masks[0][1].hidden)
    assert_close(out.metrics["video"], F.mse_loss(out.prediction[1], hidden))
    assert out.metrics["baseline"].item() == pytest.approx(2, abs=1e-3)
    with pytest.raises(ValueError, match="predicts=features takes what a teacher makes"):
        student(signal)
    with pytest.raises(ValueError, match="predicts=signal takes no teacher"):
        teacher(signal, taught=(audio, video))


@pytest.mark.parametrize("fusion", KINDS)
def test_a_batch_can_be_overfitted(fusion):
    model, signal = mavil(fusion=fusion), pair()
    masks = model.draw_mask(2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    first = model(signal, masks).metrics
    for _ in range(120):
        out = model(signal, masks)
        out.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert all(out.metrics[name] < 0.6 * first[name] for name in ("audio", "video", "inter"))


@pytest.mark.parametrize("lacking", [True, False])
def test_it_compiles_as_one_graph(lacking):
    model = mavil(depth=1, fusion_depth=1).eval()
    signal = pair((1, 1), (1, 1 - lacking))
    model.encoder.lacking = lacking
    masks = model.draw_mask(2)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    assert_close(compiled(signal, mask=masks).loss, model(signal, mask=masks).loss)


def test_checkpointing_and_dropped_paths_are_the_samples_own():
    model, signal = mavil(), pair()
    set_drop_path(model.encoder, 0.5)
    masks, paths = model.draw_mask(2), torch.rand(2, model.paths_size)
    kept = []
    for on in (False, True):
        set_checkpointing(model, on)
        kept.append(gradients(model, model(signal, masks, paths=paths).loss))
    assert all(grad.equal(kept[1][name]) for name, grad in kept[0].items())


def test_each_view_drops_paths_of_its_own():
    model, signal = mavil(), pair((1, 1, 1), (1, 1, 1))
    assert model.paths_size == 0
    set_drop_path(model.encoder, 0.5)
    size = model.encoder.noise_size
    assert model.paths_size == 2 * size and mavil(intra_weight=0.0).views == 1
    masks = model.draw_mask(3)[:1] * 2  # both views see the same
    none = torch.ones(3, size)
    alike = model(signal, masks, paths=torch.cat([none, none], dim=1)).metrics
    other = model(signal, masks, paths=torch.cat([none, torch.zeros(3, size)], dim=1)).metrics
    assert other["inter"].equal(alike["inter"]) and other["audio"].equal(alike["audio"])
    assert not other["intra"].isclose(alike["intra"])


@pytest.mark.parametrize("fusion", KINDS)
@pytest.mark.parametrize("fusion_depth", [1, 3])
def test_more_paths_are_dropped_the_deeper(fusion, fusion_depth):
    encoder = mavil(fusion=fusion, depth=2, fusion_depth=fusion_depth).encoder
    set_drop_path(encoder, 0.6)
    x, rates = torch.empty(20_000, 1), []
    stacks = [part.blocks for part in encoder.parts] + encoder.fusion.stacks
    for blocks in stacks:
        rates.append((keep_paths(blocks, x) == 0).float().mean(dim=(0, 2)))
    even = torch.linspace(0, 0.6, 2 + fusion_depth)
    for number, rate in enumerate(rates):
        assert_close(rate, even[:2] if number < 2 else even[2:], atol=0.02, rtol=0)


def test_nothing_is_compared_that_counts_nothing():
    model = mavil(inter_weight=0.0, intra_weight=0.0)
    model.encoder.audio.norm.weight.data.fill_(math.nan)  # of each by itself
    model.encoder.alone = None
    assert model(pair()).loss.isfinite()


def sample(model):
    torch.manual_seed(3)
    present = (1, 1, 0, 1, 1, 1), (1, 0, 1, 1, 1, 1)
    return pair(*present, fill=math.nan), torch.rand(6, model.noise_size)


def work(rank, port, folder):
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=address, world_size=2, rank=rank)
    torch.manual_seed(0)
    model = mavil()
    signal, noise = sample(model)
    rows = slice(3 * rank, 3 * rank + 3)
    wrapped = DistributedDataParallel(model)
    loss = wrapped(signal[rows], noise=noise[rows]).loss
    loss.backward()
    torch.save((loss.detach(), [p.grad for p in model.parameters()]), folder / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def test_two_processes_learn_what_one_does(tmp_path):
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    mp.spawn(work, (port, tmp_path), nprocs=2)
    torch.manual_seed(0)
    model = mavil()
    signal, noise = sample(model)
    loss = model(signal, noise=noise).loss
    loss.backward()
    losses, grads = zip(*(torch.load(tmp_path / f"{rank}.pt") for rank in range(2)), strict=True)
    assert_close(sum(losses) / 2, loss.detach(), atol=1e-5, rtol=1e-5)
    for parameter, first, second in zip(model.parameters(), *grads, strict=True):
        assert_close(first, parameter.grad, atol=1e-5, rtol=1e-3)
        assert first.equal(second)


def test_a_picture_of_what_is_imagined():
    model, signal = mavil().eval(), pair((1,), (1,))
    seen = model.picture(signal, model.masker, torch.rand(1, model.noise_size))
    for side in ("audio", "video"):
        whole, masked, real, drawn = (
            getattr(part, side) for part in (seen.whole, seen.masked, signal, seen.imagined)
        )
        there = ~masked.isnan()
        assert masked[there].equal(real[there]) and whole[there].equal(real[there])
        assert whole[~there].equal(drawn[~there]) and whole.isfinite().all()
    assert seen.share == 52 / 64 and math.isfinite(seen.loss)
    alone = model.picture(pair((1,), (0,)), model.masker, torch.rand(1, model.noise_size))
    assert alone.whole.video.isnan().all() and alone.whole.audio.isfinite().all()
    assert alone.share == 26 / 32
    with pytest.raises(ValueError, match="cannot be drawn"):
        mavil(predicts="features").picture(signal, model.masker, torch.rand(1, 128))


def test_hidden_values_are_not_used_to_draw():
    model, signal = mavil().eval(), pair((1,), (1,))
    noise = torch.rand(1, model.noise_size)
    first = model.picture(signal, model.masker, noise)
    hidden = first.masked.audio.isnan()
    other = Pair(torch.where(hidden, 9.0, signal.audio), signal.video, *signal.present)
    again = model.picture(other, model.masker, noise)
    assert again.imagined.audio.equal(first.imagined.audio)
    assert not model.picture(other, model.masker, noise, oracle=True).imagined.audio.equal(
        first.imagined.audio
    )


def test_shapes_and_maskers_of_a_config():
    config = model_config("mavil_vit_base", **TINY)
    shapes = {"av": ((1, 64, 32), (3, 4, 32, 32)), "a": (1, 64, 32), "v": (3, 4, 32, 32)}
    for modality, shape in shapes.items():
        model, given = (
            mavil(modality=modality),
            model_config("mavil_vit_base", **TINY, modality=modality),
        )
        assert given.shape == shape == model.encoder.shape
        assert isinstance(model, MaskedAutoencoder) == (modality != "av")
    assert config.size == ((64, 32), (4, 32, 32)) and mavil().encoder.size == config.size
    assert mavil().masker == PairMasker(RandomMasker(0.8), RandomMasker(0.8))
    assert mavil().sections()["masker"]["init_args"].keys() == {"audio", "video"}
    with pytest.raises(ValueError, match="av, a, v would fit"):
        mavil(modality="sound")


def saved(model, tmp_path):
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    write_weights(tmp_path / "model.safetensors", model.state_dict(), model.recipe)
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("settings", [{}, {"fusion": "bottleneck"}, {"predicts": "features"}])
def test_what_is_saved_comes_back(tmp_path, settings):
    model = mavil(**settings).eval()
    back = load_with_report(saved(model, tmp_path))
    assert back.report.complete and type(back.model) is type(model)
    mine, theirs = model.state_dict(), back.model.state_dict()
    assert mine.keys() == theirs.keys() and all(mine[k].equal(theirs[k]) for k in mine)
    assert back.model.masker == model.masker


@pytest.mark.parametrize("modality", ["a", "v"])
def test_one_modality_of_what_is_saved(tmp_path, modality):
    model, signal = mavil().eval(), pair()
    back = load_with_report(saved(model, tmp_path), modality=modality)
    assert back.report.complete and back.report.filled == 1
    assert any(name.startswith("encoder.fusion") for name in back.report.left_out)
    side = signal.audio if modality == "a" else signal.video
    with torch.no_grad():
        tokens = back.model.encoder.forward_features(side)
        assert tokens.equal(model.encoder.each(signal)[modality == "v"])


def test_other_sizes_of_what_is_saved(tmp_path):
    folder = saved(mavil(), tmp_path)
    back = load_with_report(folder, audio_size=(32, 32), video_size=(2, 48, 48))
    assert back.report.complete and len(back.report.resized) == 4
    assert back.model.encoder.grids == [(4, 4), (1, 6, 6)]
