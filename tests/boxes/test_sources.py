"""What the core asks of data holds for pictures with boxes."""

import json
import pickle
import sys
from pathlib import Path

import pytest
import torch

from maskedae.boxed import Boxed
from maskedae.data import Panel
from maskedae.datasets.boxes import Boxes
from maskedae.loading import Samples, read_in_order, training_loader
from maskedae.sampling import MicroBatches, Plan

sys.path.append(str(Path(__file__).parents[1]))
from making_boxes import picture, write_coco  # noqa: E402

SHAPE = (3, 48, 48)


@pytest.fixture
def data(tmp_path):
    write_coco(tmp_path)
    write_coco(tmp_path, "val")
    return Boxes(root=str(tmp_path))


def same(first, second):
    names = ("pixels", "shapes", "sizes", "counts", "boxes", "labels")
    return all(getattr(first, name).equal(getattr(second, name)) for name in names)


def test_a_sample_is_the_same_in_any_worker(data):
    source = data.source("train", SHAPE, augment=True)
    samples = Samples(source, seed=1, noise_size=data.noise_size)
    plan = Plan(source.shares, 3, 2, seed=0)
    alone = list(training_loader(samples, MicroBatches(plan), 0, pin=False))
    others = list(training_loader(samples, MicroBatches(plan, accumulate=3), 2, pin=False))
    for step, batch in enumerate(alone):
        parts = others[3 * step : 3 * step + 3]
        assert len(batch.samples) == 3 and batch.labels is None and not batch.skipped
        assert same(batch.samples, Boxed.stack([part.samples for part in parts]))
    assert not same(alone[0].samples, alone[1].samples)


def test_reading_in_order_names_what_cannot_be_read(data, tmp_path):
    (tmp_path / "val" / "b.png").write_text("broken")
    source = data.source("held_out", SHAPE, augment=False)
    batches = list(read_in_order(source, [0, 1, 2], 2))
    assert [batch.draws for batch in batches] == [[(0, 0)], [(0, 2)]]
    assert [skip.name for skip in batches[0].skipped] == [str(tmp_path / "val" / "b.png")]
    assert batches[0].samples.sizes.tolist() == [[30, 40]]
    assert batches[0].samples.shapes.tolist() == [[3, 36, 48]]
    assert [source.image_id(index) for _, index in batches[1].draws] == [3]


def test_a_source_travels_and_does_not_grow(data):
    source = data.source("train", SHAPE, augment=True)
    before = len(pickle.dumps(source))
    for index in range(3):
        source.read(index)
    assert len(pickle.dumps(source)) == before


def renamed(content):
    content["categories"][0]["name"] = "owl"


def moved(content):
    content["annotations"][0]["bbox"][0] += 1


def swapped(content):
    content["annotations"][0]["category_id"] = 20


def crowded(content):
    content["annotations"][0]["iscrowd"] = 1


def reshaped(content):
    content["annotations"][0]["segmentation"] = [[0, 0, 9, 0, 9, 8]]


@pytest.mark.parametrize("change", [renamed, moved, swapped, crowded, reshaped])
def test_other_labels_make_other_data(tmp_path, change):
    write_coco(tmp_path)
    path = tmp_path / "train.json"
    content = json.loads(path.read_text())
    for row in content["annotations"]:
        row["segmentation"] = [[0, 0, 9, 0, 9, 9]]

    def fingerprint():
        path.write_text(json.dumps(content))
        data = Boxes(root=str(tmp_path), masks=True, held_out_share=0)
        return data.source("train", SHAPE, True).fingerprint

    before = fingerprint()
    assert fingerprint() == before
    change(content)
    assert fingerprint() != before


def test_signals_are_normalised_each_by_itself(data):
    data = Boxes(root=data.root, mean=[0.5], std=[0.25])
    boxed = data.source("train", SHAPE, augment=False).read(0)
    (signal,) = data.signal(boxed)
    expected = (boxed.pictures[0].float() / 255 - 0.5) / 0.25
    torch.testing.assert_close(signal, expected)
    assert [len(part) for part in (data.signal(data.synthetic(3, SHAPE)), boxed)] == [3, 1]


def test_synthetic_boxes_lie_inside():
    truths = Boxes().synthetic(5, (1, 20, 60)).truths
    for truth in truths:
        assert (truth.boxes >= 0).all() and (truth.boxes <= torch.tensor([60, 20, 60, 20])).all()
        assert (truth.boxes[:, 2:] - truth.boxes[:, :2] >= 2).all()


def test_files_named_by_hand(data, tmp_path):
    picture(tmp_path / "new.png", (20, 10))
    source = data.files([str(tmp_path / "new.png"), str(tmp_path / "val")], SHAPE)
    assert len(source) == 4 and source.classes == () and source.remarks == ""
    boxed = source.read(0)
    assert boxed.sizes.tolist() == [[10, 20]] and boxed.counts.tolist() == [0]
    assert source.name(0) == str(tmp_path / "new.png") and boxed.masks is None


def test_figures(data, tmp_path):
    (signal,) = data.signal(data.source("train", SHAPE, augment=False).read(0))
    path = tmp_path / "new" / "boxes.png"
    assert data.draw([[Panel("truth", signal)]], "a note", path) == [path] and path.exists()


@pytest.mark.parametrize("scale", [(0.0, 1.0), (2.0, 1.0)])
def test_sizes_that_do_not_fit(scale):
    with pytest.raises(ValueError, match="would fit"):
        Boxes(scale=scale)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels(data, channels):
    source = data.source("train", (channels, 32, 32), augment=True)
    assert source.read(0).pictures[0].shape[0] == channels and source.shape == (1, channels, 32, 32)
