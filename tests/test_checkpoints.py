import json
import os
import resource
import subprocess
import sys

import pytest
import torch

from maskedae import checkpoints
from maskedae.checkpoints import Checkpoints, find_weights, optimizer_tensors, restore_optimizer


def save(store, step, best=False, keep=()):
    weights = {"w": torch.full((4,), float(step))}
    return store.save(
        weights, {"w.step": torch.tensor(1.0)}, {"step": step, "keep": [*keep]}, {}, best
    )


def value(store, name="last"):
    return checkpoints.load_file(store.folder / name / "model.safetensors")["w"][0].item()


def test_last_best_and_kept(tmp_path):
    store = Checkpoints(tmp_path)
    assert store.last is None
    save(store, 1, best=True, keep=[1])
    save(store, 2, best=True, keep=[1])
    save(store, 3, keep=[1])
    save(store, 4, keep=[1])
    assert (value(store), value(store, "best")) == (4, 2)
    assert sorted(p.name for p in tmp_path.glob("step-*")) == [
        "step-00000001",
        "step-00000002",
        "step-00000004",
    ]


@pytest.mark.parametrize("part", ["write_weights", "sync"])
def test_a_failed_write_leaves_the_old_one(tmp_path, monkeypatch, part):
    store = Checkpoints(tmp_path)
    save(store, 1)

    def fail(path, *_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, part, fail)
    with pytest.raises(OSError, match="could not write the checkpoint .*step-00000002.*No space"):
        save(store, 2)
    assert value(store) == 1
    assert sorted(os.listdir(tmp_path)) == ["last", "step-00000001"]


def test_a_disk_that_is_really_full(tmp_path):
    """The size a process may write is limited, as a quota or a full disk would."""
    store = Checkpoints(tmp_path)
    save(store, 1)
    code = (
        "import torch, pathlib\nfrom maskedae.checkpoints import Checkpoints\n"
        f"Checkpoints(pathlib.Path({str(tmp_path)!r})).save("
        "{'w': torch.zeros(100000)}, {}, {'step': 2, 'keep': []}, {})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
    )
    assert done.returncode == 1 and "could not write the checkpoint" in done.stderr
    assert value(store) == 1 and sorted(os.listdir(tmp_path)) == ["last", "step-00000001"]


def test_what_an_interrupted_save_left_is_cleared(tmp_path):
    store = Checkpoints(tmp_path)
    save(store, 1)
    (tmp_path / ".step-00000002").mkdir()
    (tmp_path / ".last").symlink_to("nowhere")
    save(store, 2)
    assert sorted(os.listdir(tmp_path)) == ["last", "step-00000002"] and value(store) == 2


def test_every_way_to_name_a_checkpoint(tmp_path):
    store = Checkpoints(tmp_path / "checkpoints")
    folder = save(store, 1)
    file = folder / "model.safetensors"
    places = [tmp_path, tmp_path / "checkpoints/last", folder, file]
    assert {find_weights(place).resolve() for place in places} == {file.resolve()}
    with pytest.raises(FileNotFoundError, match="does not exist"):
        find_weights(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="holds no model.safetensors"):
        find_weights(tmp_path / "checkpoints")


def test_the_optimiser_goes_on_where_it_was(tmp_path):
    def train(steps, memory=None, start=None):
        layer = torch.nn.Linear(3, 2)
        if start:
            layer.load_state_dict(start)
        optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, fused=True)
        names = {p: name for name, p in layer.named_parameters()}
        if memory:
            restore_optimizer(optimizer, names, memory)
        for _ in range(steps):
            layer(torch.ones(3)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        return layer.state_dict(), optimizer_tensors(optimizer, names)

    torch.manual_seed(0)
    whole, _ = train(6)
    torch.manual_seed(0)
    half, memory = train(3)
    rest, _ = train(3, memory, half)
    assert all(whole[name].equal(rest[name]) for name in whole)


def test_state_is_plain_json(tmp_path):
    folder = save(Checkpoints(tmp_path), 3)
    assert json.loads((folder / "state.json").read_text())["step"] == 3
