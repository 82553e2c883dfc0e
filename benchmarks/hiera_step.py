"""Compare our Hiera with that of the package hiera-transformer: the same models twice.

python benchmarks/hiera_step.py [--models hiera_base_224 ..] [--work step inference] [--batch 8]
    [--rounds 5] [--dtype bf16] [--compile] [--threads 2] [--json FILE]
python benchmarks/hiera_step.py --against_vit

A step of the masked autoencoder is forward and backward; inference is that of the classifier.
Weights, signals and masks are the same; first losses and answers must be. Both take turns, so that
a busy machine slows both down alike; what counts is the median of the ratios. Above 1, ours is the
faster. Before, each side works twice in a process of its own, which tells its peak of memory: that
of the GPU, else that of the process, whose libraries are the same.

--against_vit compares Hiera-B+ with our own ViT-L instead: published are 85.2 and 85.9 % on
ImageNet, 85.0 and 84.8 % on Kinetics-400 (arXiv:2306.00989, arXiv:2111.06377, arXiv:2205.09113).
"""

import argparse
import json
import resource
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Any

import torch
from comparing import Step, in_turn
from torch import Tensor, nn

from maskedae.answers import Answers
from maskedae.classifier import Classifier
from maskedae.models.layouts.hiera_names import OFFICIAL
from maskedae.zoo import create_model, model_config

with warnings.catch_warnings():  # about where it finds timm's layers
    warnings.simplefilter("ignore")
    import hiera

MODELS = ("hiera_base_224", "hiera_large_224", "hiera_base_16x224", "hiera_large_16x224")
WORK = ("step", "inference")
SIDES = ("ours", "package")
PAIRS = (
    ("hiera_base_plus_224", "mae_vit_large_patch16"),
    ("hiera_base_plus_16x224", "mae_st_vit_large_patch16"),
)
CLASSES = Answers("class", tuple(f"class {number}" for number in range(1000)))


def main() -> None:
    """Check that both agree, weigh each on its own, then time them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--work", nargs="+", default=WORK, choices=WORK)
    parser.add_argument("--batch", type=int, help="pictures; 8, or 128 on a GPU; clips: an eighth")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of measurements")
    parser.add_argument("--threads", type=int, help="on the CPU; 1 is steadier on a busy machine")
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true", help="compile both")
    parser.add_argument("--json", type=Path, help="file of all numbers")
    parser.add_argument("--against_vit", action="store_true", help="Hiera-B+ and our own ViT-L")
    parser.add_argument("--alone", choices=SIDES, help="print one side's peak of memory, in bytes")
    options = parser.parse_args()
    torch.set_num_threads(options.threads or torch.get_num_threads())
    if options.alone:
        print(weigh(options))
        return
    how = f"{options.dtype}, {'compiled' if options.compile else 'eager'}"
    print(f"on {options.device}, {torch.get_num_threads()} threads, {how}")
    names = PAIRS if options.against_vit else [(name,) for name in options.models]
    rows = [measure(pair, work, options) for pair in names for work in options.work]
    if options.json:
        options.json.write_text(json.dumps({"torch": torch.__version__, "rows": rows}, indent=2))


def measure(names: tuple[str, ...], work: str, options: argparse.Namespace) -> dict[str, Any]:
    """Time one kind of work of one pair of models; tell at once."""
    peaks = [] if options.against_vit else [peak(side, names[0], work) for side in SIDES]
    device, steps = torch.device(options.device), 10 if options.device == "cuda" else 1
    works = [part(names, work, side, options) for side in SIDES]
    if not options.against_vit:
        first, second = (answer() for _, answer in works)
        apart = ((first - second).abs().max() / second.abs().max()).item()
        assert apart < 1e-3, f"these are not the same model: {apart:.2e} apart"
    pairs = in_turn([take for take, _ in works], device, options.rounds, steps, warm_up=2)
    ratios = sorted(old / new for new, old in pairs)
    new, old = (median(column) for column in zip(*pairs, strict=True))
    print(
        f"{' / '.join(names)} {work}, batch {batch_of(names[0], options)}: {new * 1e3:.0f} and "
        f"{old * 1e3:.0f} ms, median ratio {median(ratios):.3f} ({ratios[0]:.3f} to "
        f"{ratios[-1]:.3f}, {options.rounds} rounds)"
        + (f", peaks {peaks[0]:.2f} and {peaks[1]:.2f} GiB" if peaks else ""),
        flush=True,
    )
    return {"models": names, "work": work, "pairs": pairs, "peaks": peaks}


def batch_of(name: str, options: argparse.Namespace) -> int:
    """Samples in a step."""
    pictures = options.batch or (128 if options.device == "cuda" else 8)
    return pictures if len(model_config(name).size) == 2 else max(pictures // 8, 1)


def part(
    names: tuple[str, ...], work: str, side: str, options: argparse.Namespace
) -> tuple[Step, Callable[[], Tensor]]:
    """One side's work, and its loss or answers."""
    torch.manual_seed(0)
    device, number = torch.device(options.device), SIDES.index(side)
    against_vit = len(names) > 1
    name = names[number] if against_vit else names[0]
    settings = {} if against_vit else {"positions": "published"}
    ours = create_model(name, **settings)
    batch = batch_of(name, options)
    signal = torch.randn(batch, *model_config(name).shape)
    mask = ours.draw_mask(batch)
    model: Any = ours if work == "step" else Classifier(ours.encoder, CLASSES)
    if number and not against_vit:
        model = fellow(model, name, work)
    model, signal = model.to(device).train(work == "step"), signal.to(device)
    called = torch.compile(model, dynamic=False) if options.compile else model
    if work == "inference":
        answer = torch.inference_mode()(lambda: logits(called(signal), number and not against_vit))
        return mixed(options, answer), answer
    if number and not against_vit:
        keep = torch.zeros(batch, ours.noise_size, dtype=torch.bool)
        keep = keep.scatter(1, mask.visible, True).to(device)
        loss = lambda: called(signal, mask=keep)[0]  # noqa: E731
    else:
        mask = type(mask)(*(index.to(device) for index in mask))
        loss = lambda: called(signal, mask=mask).loss  # noqa: E731
    return learning(model, mixed(options, loss)), loss


def learning(model: nn.Module, loss: Callable[[], Tensor]) -> Step:
    """Forward and backward."""

    def take() -> None:
        torch.autograd.backward(loss())
        model.zero_grad()

    return take


def logits(found: Tensor, probabilities: bool) -> Tensor:
    """Logits, less their mean; theirs are probabilities in evaluation."""
    found = found.float().log() if probabilities else found.float()
    return found - found.mean(dim=1, keepdim=True)


def mixed(options: argparse.Namespace, work: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """Work in the precision that was asked for."""
    kind, bf16 = torch.device(options.device).type, options.dtype == "bf16"

    def take() -> Tensor:
        with torch.autocast(kind, torch.bfloat16) if bf16 else nullcontext():
            return work()

    return take


def fellow(model: nn.Module, name: str, work: str) -> nn.Module:
    """Their model with our weights."""
    make = getattr(hiera, name) if work == "inference" else getattr(hiera.hiera_mae, f"mae_{name}")
    theirs: nn.Module = make(num_classes=1000) if work == "inference" else make()
    theirs.load_state_dict(OFFICIAL.to_theirs(model.state_dict()), strict=True)
    return theirs


def weigh(options: argparse.Namespace) -> int:
    """Bytes that one side takes at most, working twice."""
    take, _ = part((options.models[0],), options.work[0], options.alone, options)
    for _ in range(2):
        take()
    if options.device == "cuda":
        return torch.cuda.max_memory_allocated()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def peak(side: str, name: str, work: str) -> float:
    """What `weigh` says in a process of its own, in GiB."""
    told = [sys.executable, __file__, *sys.argv[1:], "--models", name, "--work", work]
    found = subprocess.run([*told, "--alone", side], check=True, capture_output=True, text=True)
    return int(found.stdout) / 2**30


if __name__ == "__main__":
    main()
