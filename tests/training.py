"""A training small enough to be run many times over, and ways to run it."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from safetensors.torch import load_file
from torch.testing import assert_close

RECIPE = {
    "model": {
        "name": "mae_vit_tiny_patch16",
        "size": [32, 32],
        "patch": [8, 8],
        "width": 32,
        "depth": 1,
        "heads": 2,
        "decoder_width": 16,
        "decoder_depth": 1,
        "decoder_heads": 2,
    },
    "masker": {"class_path": "maskedae.masking.RandomMasker"},
    "data": {
        "class_path": "maskedae.datasets.images.Images",
        "init_args": {"held_out_share": 0.1},
    },
    "train": {
        "epochs": 4,
        "batch_size": 8,
        "base_lr": 0.01,
        "warmup_epochs": 1,
        "workers": 0,
        "save_every_steps": 5,
        "log_every_steps": 5,
        "look_every_epochs": 2,
        "device": "cpu",
    },
}


FINETUNE = {
    "data": {
        "class_path": "maskedae.datasets.images.Images",
        "init_args": {"held_out_share": 0.3, "erasing": 0.25},
    },
    "finetune": {},
    "train": {
        "epochs": 4,
        "batch_size": 8,
        "base_lr": 0.05,
        "warmup_epochs": 1,
        "layer_decay": 0.75,
        "drop_path": 0.2,
        "workers": 0,
        "save_every_steps": 5,
        "log_every_steps": 5,
        "look_every_epochs": 2,
        "device": "cpu",
    },
}


ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
STOP_AFTER = """
import os, signal, sys
from maskedae.cli import main
from maskedae.stepping import Stepper
take = Stepper.take
def stop(self, step, *rest):
    if step == {step}:
        os.kill(os.getpid(), signal.SIGTERM)
    return take(self, step, *rest)
Stepper.take = stop
sys.exit(main(sys.argv[1:]))
"""


def python(*arguments):
    """Run Python on one thread; return what it said."""
    done = [sys.executable, *arguments]
    return subprocess.run(done, check=True, env=ONE_THREAD, capture_output=True, text=True).stdout


def maskedae(*arguments):
    """Run a command in a process of its own."""
    return python("-m", "maskedae", *arguments)


def stopped(step, *arguments):
    """Run a command that is asked to end at a step."""
    return python("-c", STOP_AFTER.format(step=step), *arguments)


def torchrun(*arguments):
    """Run a command on two processes."""
    port = f"--master_port={29500 + os.getpid() % 1000}"
    run = ["-m", "torch.distributed.run", "--nproc_per_node=2", port]
    return python(*run, "-m", "maskedae", *arguments)


def killed(seed, out, arguments):
    """Kill a training at random moments until it is done; return the kills."""
    return int(python(__file__, str(seed), str(out), *arguments))


def rows(run):
    """Lines of metrics.jsonl."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def write_pictures(folder, count=64, size=40):
    """Noise of two classes, as PNG files."""
    rng = np.random.default_rng(0)
    for number in range(count):
        path = folder / "ab"[number % 2] / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 128 + 127 * (number % 2), (size, size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return folder


def write_recipe(path, recipe=RECIPE, **train):
    """A recipe above with other settings of training."""
    path.write_text(yaml.safe_dump({**recipe, "train": {**recipe["train"], **train}}))
    return path


def weights(run):
    """Weights of the last checkpoint."""
    return load_file(Path(run) / "checkpoints" / "last" / "model.safetensors")


def same(a, b):
    """Whether two runs ended with the same weights, bit for bit."""
    first, second = weights(a), weights(b)
    return first.keys() == second.keys() and all(first[k].equal(second[k]) for k in first)


def agree(a, b):
    """Hold two runs to the same weights, but for the rounding of other sums."""
    first, second = weights(a), weights(b)
    for name in first:
        assert_close(second[name], first[name], rtol=1e-5, atol=1e-6, msg=name)


def live(arguments):
    """Run a command in a fork of this process; return its process id."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        from maskedae.cli import main

        status = 1
        try:
            status = main(arguments)
        finally:
            os._exit(status)
    return child


def kill_until_done(arguments, checkpoints, seed):
    """Kill a training at random moments until one life is left to finish; return the kills."""
    rng, kills = random.Random(seed), 0
    while True:
        child = live(arguments)
        seen, wanted = os.path.realpath(checkpoints / "last"), rng.randint(0, 3)
        while wanted and os.waitpid(child, os.WNOHANG) == (0, 0):
            now = os.path.realpath(checkpoints / "last")
            wanted, seen = wanted - (now != seen), now
        time.sleep(rng.uniform(0, 0.08) if seen else rng.uniform(0, 1))
        try:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
        except (ProcessLookupError, ChildProcessError):
            return kills
        if not os.WIFSIGNALED(status):
            return kills
        kills += 1


if __name__ == "__main__":
    # Import all that a training needs once, so that a life costs no second more than its steps.
    import accelerate.tracking  # noqa: F401
    import timm.optim  # noqa: F401
    import torch.utils.tensorboard  # noqa: F401

    import maskedae.commands.pretrain
    import maskedae.datasets.images
    import maskedae.finetuning.finetune
    import maskedae.pretraining  # noqa: F401

    out = Path(sys.argv[2])
    print(kill_until_done(sys.argv[3:], out / "checkpoints", int(sys.argv[1])))
