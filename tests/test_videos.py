"""Films as samples: what is read of them, and how it is cut."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from maskedae.data import BadSample
from maskedae.datasets.films.writing import write_film
from maskedae.datasets.videos import Videos
from maskedae.loading import Samples, training_loader
from maskedae.recipe import find_recipe, parse, recipe_parser
from maskedae.sampling import MicroBatches, Plan

SHAPE = (3, 4, 16, 16)


def film(path, frames=20, height=32, width=48, rate=10.0):
    """A film whose frames are gray, of ten times their number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shades = np.arange(frames, dtype=np.uint8)[:, None, None, None] * 10
    write_film(path, np.broadcast_to(shades, (frames, height, width, 3)).copy(), rate)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("films")
    for split, count in (("train", 4), ("val", 2)):
        for label in ("run", "walk"):
            for number in range(count):
                film(root / split / label / f"{number}.mp4")
    return root


def numbers(clip):
    """Which frames a clip (C, T, H, W) shows."""
    return clip.float().mean(dim=(0, 2, 3)).div(10).round().int().tolist()


def test_a_sample_is_a_clip_of_even_stride(folder):
    source = Videos(root=str(folder), stride=3).source("held_out", SHAPE, augment=False)
    assert len(source) == 4 and source.classes == ("run", "walk") and source.shape == (1, *SHAPE)
    (clip,) = source.read(0)
    assert clip.shape == SHAPE and clip.dtype == torch.uint8 and numbers(clip) == [5, 8, 11, 14]
    (gray,) = Videos(stride=3).files([source.name(0)], (1, 4, 16, 16)).read(0)
    assert gray.shape == (1, 4, 16, 16) and numbers(gray) == [5, 8, 11, 14]


def test_clips_by_seconds_and_by_segments(folder):
    path = str(folder / "train/run/0.mp4")
    (clip,) = Videos(interval=0.2).files([path], SHAPE).read(0)
    assert np.diff(numbers(clip)).tolist() == [2, 2, 2]
    (clip,) = Videos(segments=True).files([path], SHAPE).read(0)
    assert numbers(clip) == [2, 7, 12, 17]


def test_test_views(folder):
    path = str(folder / "train/run/0.mp4")
    source = Videos(stride=2, test_views=(3, 2)).files([path], SHAPE)
    views = source.read(0)
    assert views.shape == source.shape == (6, *SHAPE)
    assert [numbers(view)[0] for view in views] == [0, 0, 6, 6, 12, 12]  # slack 13, not rounded


def test_repeats_are_samples_of_their_own(folder):
    data = Videos(root=str(folder), stride=2, repeats=3)
    source = data.source("train", SHAPE, augment=True)
    batch = Samples(source, 0, 5).__getitems__([(0, 1), (0, 7)])
    assert batch.samples.shape == (6, *SHAPE) and batch.noise.shape == (6, 5)
    assert batch.labels.tolist() == [0, 1, 0, 1, 0, 1]
    starts = {numbers(clip)[0] for clip in batch.samples}
    assert len(starts) > 2
    again = Samples(source, 0, 5).__getitems__([(0, 7)])
    assert again.samples.equal(batch.samples[1::2])


def test_augmentation_is_the_same_for_all_frames(tmp_path):
    height, width = 40, 60
    pattern = np.random.default_rng(0).integers(0, 255, (4, 6, 3), np.uint8)
    still = np.kron(pattern, np.ones((height // 4, width // 6, 1), np.uint8))
    write_film(tmp_path / "a/still.mp4", np.stack([still] * 12), 10.0)
    data = Videos(root=str(tmp_path), rand_augment="rand-m9-mstd0.5-inc1", erasing=1.0, stride=1)
    source = data.source("train", SHAPE, augment=True)
    torch.manual_seed(0)
    clips = [source.read(0)[0] for _ in range(8)]
    for clip in clips:
        assert (clip[:, 0].int() - clip[:, -1].int()).abs().float().mean() < 3
    assert len({tuple(clip[:, 0].flatten()[:50].tolist()) for clip in clips}) == 8


def test_windows_of_long_films(folder):
    data = Videos(root=str(folder), stride=1, window=0.8, hop=0.4)
    source = data.source("held_out", SHAPE, augment=False)
    spans = torch.tensor([[0.0, 0.8], [0.4, 1.2], [0.8, 1.6], [1.2, 2.0]], dtype=torch.float64)
    assert_close(source.spans[:4], spans)
    assert len(source) == 16 and source.labels.tolist() == [0] * 8 + [1] * 8
    assert source.name(3) == source.name(0) != source.name(4)
    assert [numbers(source.read(index)[0]) for index in (0, 2)] == [[2, 3, 4, 5], [10, 11, 12, 13]]
    assert len(data.source("train", SHAPE, augment=True)) == 8


def test_what_cannot_be_read_is_named(tmp_path):
    for number in range(3):
        film(tmp_path / f"a/{number}.mp4")
    (tmp_path / "a/broken.mp4").write_bytes(b"no film at all" * 100)
    data = Videos(root=str(tmp_path), window=1.0)
    source = data.source("train", SHAPE, augment=False)
    broken = [i for i in range(len(source)) if source.name(i).endswith("broken.mp4")]
    assert len(broken) == 1
    with pytest.raises(BadSample):
        source.read(broken[0])


def test_short_films_hold_their_last_frame(tmp_path):
    path = film(tmp_path / "short.mp4", frames=3)
    (clip,) = Videos(stride=4).files([str(path)], SHAPE).read(0)
    assert numbers(clip) == [0, 2, 2, 2]


def test_workers_read_the_same(folder):
    source = Videos(root=str(folder), repeats=2).source("train", SHAPE, augment=True)
    order = MicroBatches(Plan(source.shares, 4, 1, 0))
    samples = Samples(source, 0, 3)
    alone, helped = (list(training_loader(samples, order, n, pin=False)) for n in (0, 2))
    for a, b in zip(alone, helped, strict=True):
        assert a.samples.equal(b.samples) and a.noise.equal(b.noise) and a.draws == b.draws


@pytest.mark.parametrize(
    "wrong",
    [{"repeats": 0}, {"test_views": (0, 3)}, {"window": 0.0}, {"hop": 1.0}, {"timeout": 0}],
)
def test_settings_that_cannot_be(wrong):
    with pytest.raises(ValueError, match="would fit|needs"):
        Videos(**wrong)


def test_shapes_that_are_no_clips(folder):
    with pytest.raises(ValueError, match="clips are"):
        Videos(root=str(folder)).source("train", (3, 16, 16), augment=False)


def test_a_decoder_that_is_not_there(folder, monkeypatch):
    monkeypatch.setattr("maskedae.datasets.videos.installed", lambda: ("pyav",))
    with pytest.raises(ValueError, match=r"pip install 'maskedae\[decord\]'"):
        Videos(root=str(folder), decoder="decord").source("train", SHAPE, augment=True)


def test_targets_undo_the_normalisation_of_the_data():
    path = find_recipe("quickstart_video")
    parser = recipe_parser("videomae_vit_small_patch16", "test")
    settings = parse(parser, path, [])
    assert (settings.model.mean, settings.model.std) == ((0.2,), (0.15,))
    settings = parse(parser, path, ["--model.mean=[0.5]"])
    assert (settings.model.mean, settings.model.std) == ((0.5,), (0.15,))
