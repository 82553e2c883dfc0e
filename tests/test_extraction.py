"""Features are what the encoder gives, whatever the batch, the processes and the kills."""

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from maskedae import create_model
from maskedae.datasets.images import Images
from maskedae.extraction import choose_layers, digest, encode_layers, extract, feature_names
from maskedae.loading import Skipped
from maskedae.parts import Parts

sys.path.append(str(Path(__file__).parent))
from training import write_pictures  # noqa: E402

SHAPE = (3, 32, 32)


@pytest.fixture
def encoder(tiny):
    return create_model("mae_vit_base_patch16", **tiny).encoder.eval()


@pytest.fixture
def data(tmp_path):
    write_pictures(tmp_path / "pictures", count=22)
    (tmp_path / "pictures/a/empty.png").write_bytes(b"")
    return Images(root=str(tmp_path / "pictures"), held_out_share=0.3)


def sources(data):
    return {split: data.source(split, SHAPE, augment=False) for split in ("train", "held_out")}


def extracted(folder, encoder, data, batch_size=4, **key):
    parts, found = Parts(folder, batch_size), sources(data)
    parts.open({"what": "a test", **key})
    extract(parts, encode_layers(encoder, [1], ["mean"]), data, found)
    return parts, found


@torch.no_grad()
def test_layers_and_pools_are_the_encoder_s_own(encoder):
    signal = torch.randn(2, 3, 32, 32)
    found = encode_layers(encoder, [0, 1], ["mean", "class", "patches"])(signal)
    assert sorted(found) == sorted(feature_names(encoder, [0, 1], ["mean", "class", "patches"]))
    whole = encoder.forward_features(signal)
    assert_close(found["block1_mean"], encoder.pool(whole, "mean"))
    assert_close(found["block1_class"], encoder.pool(whole, "class"))
    assert_close(found["block1_patches"], encoder(signal))
    (first,) = encoder.forward_intermediates(
        signal, [0], norm=True, output_fmt="NLC", intermediates_only=True
    )
    assert_close(found["block0_patches"], first)
    assert not found["block0_mean"].allclose(found["block1_mean"])


def test_layers_are_counted_from_both_ends(encoder):
    assert choose_layers(encoder, None) == [1]
    assert choose_layers(encoder, [-1, 0, 1]) == [0, 1]
    with pytest.raises(ValueError, match="no block 2: the encoder has 0 to 1"):
        choose_layers(encoder, [2])


def test_digest_tells_weights_apart(encoder):
    before = digest(encoder)
    assert before == digest(encoder)
    with torch.no_grad():
        encoder.blocks[1].mlp.fc2.bias[3] += 1e-6
    assert digest(encoder) != before


@torch.no_grad()
def test_every_sample_once_and_the_same_in_any_batch(encoder, data, tmp_path):
    parts, found = extracted(tmp_path / "four", encoder, data)
    others, _ = extracted(tmp_path / "seven", encoder, data, batch_size=7)
    for split, source in found.items():
        read = [part for part in parts.read(split, len(source)) if part.columns]
        indices = torch.cat([part.indices for part in read]).tolist()
        bad = [i for i in range(len(source)) if source.name(i).endswith("a/empty.png")]
        assert indices == [i for i in range(len(source)) if i not in bad]
        vectors = torch.cat([part.columns["block1_mean"] for part in read])
        again = torch.cat(
            [p.columns["block1_mean"] for p in others.read(split, len(source)) if p.columns]
        )
        assert_close(vectors, again, rtol=1e-5, atol=1e-5)
        for index, vector in zip(indices, vectors, strict=True):
            alone = encoder.pool(encoder.forward_features(data.signal(source.read(index))))
            assert_close(vector, alone[0], rtol=1e-5, atol=1e-5)
    skipped = [row for split in found for row in parts.skipped(split, len(found[split]))]
    assert skipped == [Skipped(str(tmp_path / "pictures/a/empty.png"), "empty file")]


def test_parts_that_are_there_are_not_computed_again(encoder, data, tmp_path):
    parts, found = extracted(tmp_path / "parts", encoder, data)
    files = sorted((tmp_path / "parts").glob("*.safetensors"))
    before = {file: (file.stat().st_ino, load_file(file)) for file in files}
    gone = files.pop(1)
    gone.unlink()
    counts = {split: len(source) for split, source in found.items()}
    assert not parts.complete(counts)
    extracted(tmp_path / "parts", encoder, data)
    assert parts.complete(counts)
    assert all(file.stat().st_ino == before[file][0] for file in files)
    for name, tensor in load_file(gone).items():
        assert tensor.equal(before[gone][1][name])  # bit for bit: a part is a batch of its own


def test_parts_of_something_else_are_kept(encoder, data, tmp_path):
    parts, _ = extracted(tmp_path / "parts", encoder, data)
    with pytest.raises(ValueError, match="features of other what; --overwrite starts over"):
        parts.open({"what": "else"})
    with pytest.raises(ValueError, match="other batch_size"):
        Parts(tmp_path / "parts", 5).open({"what": "a test"})
    assert list((tmp_path / "parts").glob("*.safetensors"))
    parts.open({"what": "else"}, overwrite=True)
    assert [file.name for file in (tmp_path / "parts").iterdir()] == ["key.json"]
    assert json.loads((tmp_path / "parts/key.json").read_text())["what"] == "else"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("not features")
    with pytest.raises(ValueError, match="no features"):
        Parts(tmp_path / "mine", 4).open({}, overwrite=True)
    with pytest.raises(ValueError, match="a batch of 0"):
        Parts(tmp_path / "none", 0)


def test_nothing_is_left_of_a_write_that_was_interrupted(encoder, data, tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/.train-00099.safetensors.draft").write_bytes(b"half")
    extracted(tmp_path / "parts", encoder, data)
    assert not list((tmp_path / "parts").glob(".*"))
