"""maskedae embed: files of features, whole or absent, and pictures of what the encoder sees."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch.testing import assert_close

from maskedae import create_model, tables
from maskedae.checkpoints import write_weights
from maskedae.cli import main
from maskedae.data import Panel
from maskedae.datasets.images import Images
from maskedae.feature_maps import attention_maps, paint, principal_colours
from maskedae.patches import PatchEmbed
from maskedae.positions import Positions
from maskedae.tables import label_fields, told
from maskedae.transformer import Tower
from maskedae.vit import VisionTransformer

sys.path.append(str(Path(__file__).parent))
from training import RECIPE, write_pictures  # noqa: E402

SCRIPT = Path(__file__).with_name("embedding.py")
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Pictures, one of them broken, and a checkpoint with random weights."""
    folder = tmp_path_factory.mktemp("embed")
    write_pictures(folder / "pictures")
    (folder / "pictures/a/broken.png").write_bytes(b"")
    settings = {name: value for name, value in RECIPE["model"].items() if name != "name"}
    torch.manual_seed(1)
    model = create_model(RECIPE["model"]["name"], **settings)
    write_weights(folder / "model.safetensors", model.state_dict(), RECIPE)
    return folder


def command(place, out, *more):
    data = ["--data.root", str(place / "pictures"), "--batch_size", "4"]
    return ["embed", str(place / "model.safetensors"), *data, "--out", str(out), *more]


def facts(path):
    return json.loads(pq.read_schema(path).metadata[b"maskedae"])


def test_parquet(place, tmp_path, capsys):
    out = tmp_path / "features.parquet"
    assert main(command(place, out, "--pool", "mean", "class", "patches")) == 0
    said = capsys.readouterr().out
    assert "broken.png: empty file" in said and "1 samples skipped" in said
    table, told = pq.read_table(out), facts(out)
    assert table.schema.field("block0_mean").type == pa.list_(pa.float32(), 32)
    assert table.schema.field("block0_patches").type == pa.list_(pa.float32(), 16 * 32)
    assert told["shapes"] == {"block0_mean": [32], "block0_class": [32], "block0_patches": [16, 32]}
    rows = table.to_pylist()
    assert len(rows) == 64 == len({row["path"] for row in rows})
    assert {row["split"] for row in rows} == {"train", "held_out"}
    assert all(Path(row["path"]).parent.name == row["class"] == "ab"[row["label"]] for row in rows)
    assert len(told["skipped"]) == 1 and told["skipped"][0]["reason"] == "empty file"
    assert told["model"] == RECIPE["model"]["name"] and told["layers"] == [0]
    black, white = (np.array(told["normalised"][value]) for value in ("dark", "bright"))
    assert_close(white - black, 1 / np.array([0.229, 0.224, 0.225]), rtol=1e-5, atol=0)
    for row in rows[::20]:
        patches = np.array(row["block0_patches"]).reshape(16, 32)
        assert_close(patches.mean(0), np.array(row["block0_mean"]), rtol=1e-4, atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_npz_holds_the_same(place, tmp_path):
    one, two = tmp_path / "features.parquet", tmp_path / "features.npz"
    for out in (one, two):
        assert main(command(place, out, "--pool", "mean", "patches")) == 0
    table, arrays = pq.read_table(one), np.load(two)
    for name in ("split", "sample", "path", "label"):
        assert arrays[name].tolist() == table[name].to_pylist()
    assert arrays["classes"][arrays["label"]].tolist() == table["class"].to_pylist()
    assert arrays["block0_mean"].tolist() == table["block0_mean"].to_pylist()
    assert arrays["block0_patches"].shape == (64, 16, 32)
    assert json.loads(str(arrays["maskedae"]))["shapes"] == facts(one)["shapes"]


def test_row_groups_bound_the_memory(place, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "GROUP", 2000)
    out = tmp_path / "features.parquet"
    assert main(command(place, out)) == 0
    assert pq.ParquetFile(out).num_row_groups > 4 and len(pq.read_table(out)) == 64


def test_files_named_by_hand(place, tmp_path, capsys):
    out, checkpoint = tmp_path / "features.parquet", str(place / "model.safetensors")
    files = [str(place / "pictures/b/001.png"), str(place / "pictures/a/002.png")]
    assert main(["embed", checkpoint, *files, "--out", str(out)]) == 0
    table = pq.read_table(out)
    assert table["path"].to_pylist() == files and "label" not in table.column_names
    assert main(["embed", checkpoint, *files, "--data.root", "x", "--out", str(out)]) == 1
    assert "not both" in capsys.readouterr().err


def test_nothing_is_replaced_unasked(place, tmp_path, capsys):
    out = tmp_path / "features.parquet"
    assert main(command(place, out)) == 0
    before = out.read_bytes()
    assert main(command(place, out)) == 1
    assert "exists; --overwrite replaces it" in capsys.readouterr().err
    assert out.read_bytes() == before
    assert main(command(place, out, "--overwrite", "--pool", "class")) == 0
    assert "block0_class" in pq.read_table(out).column_names
    assert main(command(place, tmp_path / "features.csv")) == 1
    assert "should end in .parquet or .npz" in capsys.readouterr().err
    assert main(["embed", str(place / "model.safetensors")]) == 1
    assert "say what to write" in capsys.readouterr().err


@pytest.fixture(scope="module")
def whole(place):
    """What one process wrote without interruption."""
    out = place / "whole.parquet"
    subprocess.run(
        [sys.executable, "-m", "maskedae", *command(place, out)], check=True, env=ONE_THREAD
    )
    return out


def test_killed_at_random_moments(place, whole, tmp_path):
    out = tmp_path / "killed.parquet"
    done = subprocess.run(
        [sys.executable, SCRIPT, "3", str(out), *command(place, out)],
        env=ONE_THREAD,
        check=True,
        capture_output=True,
        text=True,
    )
    assert int(done.stdout) >= 4
    assert pq.read_table(whole).equals(pq.read_table(out))
    left = [path.name for path in tmp_path.iterdir() if not path.name.startswith(".gone-")]
    assert left == [out.name]  # a kill may have come while parts were being deleted


def test_two_processes_give_the_same(place, whole, tmp_path):
    out = tmp_path / "shared.parquet"
    run = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]
    run += [f"--master_port={29500 + os.getpid() % 1000}", "-m", "maskedae"]
    subprocess.run([*run, *command(place, out)], check=True, env=ONE_THREAD)
    assert pq.read_table(whole).equals(pq.read_table(out))


class Named:
    """A source that knows names and labels only."""

    classes, spans = ("cat", "dog", "bird"), None

    def __init__(self, labels):
        self.labels = labels

    def name(self, index):
        return f"caf\udce9{index}.png"


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (None, {}),
        (torch.tensor([2, 0]), {"label": [2, 0], "class": ["bird", "cat"]}),
        (torch.tensor([0.5, 2.0]), {"label": [0.5, 2.0]}),
        (
            torch.tensor([[True, False, True], [False] * 3]),
            {"label": [[0, 2], []], "class": [["cat", "bird"], []]},
        ),
    ],
)
def test_labels_of_every_kind(labels, expected):
    source = Named(labels)
    found = told(source, [0, 1])
    assert found == {"path": [r"caf\xe90.png", r"caf\xe91.png"], **expected}
    for name, kind in label_fields({"train": source}).items():
        assert pa.array(found[name], kind).to_pylist() == expected[name]
    assert label_fields({"train": source}).keys() == expected.keys()


def test_colours_of_patches_are_painted_large():
    values = torch.rand(3, 2, 4)
    painted = paint(values, (3, 8, 12))
    assert painted.shape == (3, 8, 12)
    assert painted[:, 4:, 9:].equal(values[:, 1:, 3:].expand(3, 4, 3))
    assert paint(values, (1, 8, 12))[0].equal(painted[0])
    assert paint(values, (4, 8, 12))[3].eq(1).all()
    assert paint(values[:1], (3, 8, 12)).unique(dim=0).shape[0] == 1
    assert paint(torch.rand(3, 2, 2, 4), (3, 4, 8, 12)).shape == (3, 4, 8, 12)


def test_principal_colours_tell_kinds_of_patches_apart():
    kinds = torch.arange(32).view(2, 4, 4) % 3
    maps = torch.randn(3, 10)[kinds].movedim(-1, 1) * 5 + 0.01 * torch.randn(2, 10, 4, 4)
    colours = principal_colours(maps).movedim(1, -1)
    assert colours.min() == 0 and colours.max() == 1
    centres = torch.stack([colours[kinds == kind][:, :2].mean(0) for kind in range(3)])
    assert (colours[..., :2] - centres[kinds]).abs().max() < 0.1
    assert torch.pdist(centres).min() > 0.5


@torch.no_grad()
@pytest.mark.parametrize("prefix", [1, 0])
def test_attention_maps_are_those_of_the_class_token_or_of_all_patches(prefix):
    encoder = VisionTransformer(
        PatchEmbed(3, (8, 8), 32), Positions.sincos((4, 4), 32, prefix), Tower(32, 2, 4)
    )
    signal = torch.randn(3, 32, 32)
    first, second = attention_maps(encoder.eval(), signal, [0, 1])
    assert first.shape == second.shape == (4, 4, 4)
    block = encoder.blocks[0]
    x = block.norm1(encoder.tokens(signal[None]))[0]
    q, k, _ = (block.attn.qkv(x)).view(-1, 3, 4, 8).permute(1, 2, 0, 3)
    maps = (q @ k.mT / 8**0.5).softmax(-1)
    expected = maps[:, 0, 1:] if prefix else maps.mean(1)
    assert_close(first, expected.reshape(4, 4, 4))
    assert not second.allclose(first)


def test_pictures(place, tmp_path, monkeypatch, capsys):
    drawn = {}

    def draw(self, rows: list[list[Panel]], note: str, path: Path) -> list[Path]:
        drawn[path.name] = rows, note
        return [path]

    monkeypatch.setattr(Images, "draw", draw)
    pictures = ["--pca", str(tmp_path / "pca.png"), "--attention", str(tmp_path / "look.png")]
    files = [str(place / "pictures/a")]
    checkpoint = str(place / "model.safetensors")
    assert main(["embed", checkpoint, *files, *pictures, "--most", "40"]) == 0
    said = capsys.readouterr().out
    assert "broken.png: empty file" in said and "pca.png" in said
    rows, note = drawn["pca.png"]
    assert sum(map(len, rows)) == 2 * 32 and "principal" in note
    assert all(isinstance(panel, Panel) and panel.signal.shape == (3, 32, 32) for panel in rows[0])
    rows, note = drawn["look.png"]
    assert len(rows) == 32 and [p.caption for p in rows[0][1:]] == ["head 0", "head 1"]
    assert "class token" in note


def test_stretches_of_files_are_told():
    source = Named(None)
    source.spans = torch.tensor([[0.0, 2.0], [1.0, 3.0], [2.0, 4.0]])
    found = told(source, [0, 2])
    assert (found["start"], found["end"]) == ([0.0, 2.0], [2.0, 4.0])
