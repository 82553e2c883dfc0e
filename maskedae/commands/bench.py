"""maskedae bench RECIPE [--data.root DIR] [--batch N] [--steps N] [--json FILE] [--a.b=c]."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskedae.recipe import Recipe, find_recipe, make, model_of, parse, recipe_parser

if TYPE_CHECKING:
    import torch

    from maskedae.bench import Bench

USAGE = """usage: maskedae bench RECIPE [--data.root DIR] [options]

Takes the training steps of a recipe for some seconds and says how fast they are. Nothing is kept.
RECIPE is a name (maskedae recipes lists them) or a YAML file.

  --data.root DIR   also time how fast this data is read, and which bounds training
  --batch N         samples in a micro-batch; the recipe's, without a GPU at most 64
  --steps N         steps to time; as many as take ten seconds, at least 3
  --json FILE       write all numbers to a file
  --a.b=c           change any setting of the recipe: maskedae bench RECIPE --help lists them"""


def main(arguments: list[str]) -> int:
    """Time a recipe; return the exit status."""
    if not arguments or arguments[0].startswith("-"):
        print(USAGE)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    name, *rest = arguments
    path = find_recipe(name)
    parser = recipe_parser(model_of(path, rest), "maskedae bench RECIPE")
    parser.add_argument("--batch", type=int | None, default=None, help="samples in a micro-batch")
    parser.add_argument("--steps", type=int | None, default=None, help="steps to time")
    parser.add_argument("--json", type=Path | None, default=None, help="file of all numbers")
    settings = parse(parser, path, rest)
    for option in ("batch", "steps"):
        if settings[option] is not None and settings[option] < 1:
            raise ValueError(f"--{option} {settings[option]}: at least 1 is needed")
    facts = measure(make(parser, settings), settings.batch, settings.steps)
    if settings.json and facts:
        settings.json.write_text(json.dumps({"recipe": path.stem, **facts}, indent=2) + "\n")
    return 0


def measure(recipe: Recipe, batch: int | None, steps: int | None) -> dict[str, Any]:
    """Measure all there is to measure, tell it at once, and return the numbers.

    Processes other than the main one measure with it, but tell and return nothing.
    """
    import torch  # only now: help and errors should come at once

    from maskedae.bench import Bench

    bench = Bench(recipe, batch)
    main_process = bench.accelerator.is_main_process
    say: Callable[[str], None] = print if main_process else lambda _: None
    facts = about(bench)
    say(described(facts))
    try:
        facts |= bench.model_speed(facts["training_flops"], steps)._asdict()
    except torch.OutOfMemoryError as error:
        less = f"--batch {max(bench.batch // 2, 1)} or --train.checkpointing=true"
        raise ValueError(f"a micro-batch of {bench.batch} is too large: try {less}") from error
    say(model_lines(facts))
    if bench.source:
        names = ("data_samples_per_second", "fed_samples_per_second")
        facts |= zip(names, bench.data_speed(facts["steps"]), strict=True)
        say(data_lines(facts))
    else:
        say("data      not measured: --data.root DIR")
    return facts if main_process else {}


def about(bench: "Bench") -> dict[str, Any]:
    """What is measured, in numbers."""
    from maskedae.bench import flops

    forward, training = flops(bench.recipe)
    return {
        "model": bench.recipe.model_name,
        "parameters": sum(p.numel() for p in bench.task.model.parameters()),
        "device": device_name(bench.device),
        "precision": bench.accelerator.mixed_precision.replace("no", "fp32"),
        "compiled": bench.train.compile,
        "processes": bench.processes,
        "batch": bench.batch,
        "views": bench.views,
        "accumulate": bench.train.accumulate,
        "workers": bench.workers,
        "forward_flops": forward,
        "training_flops": training,
    }


def device_name(device: "torch.device") -> str:
    """A device in words: its kind, and which or how much of it."""
    import torch

    if device.type == "cuda":
        return f"cuda, {torch.cuda.get_device_name(device)}"
    return f"cpu, {torch.get_num_threads()} threads" if device.type == "cpu" else device.type


def described(facts: dict[str, Any]) -> str:
    """What is measured."""
    how = "compiled" if facts["compiled"] else "not compiled"
    forward, training = (facts[f"{name}_flops"] / 1e9 for name in ("forward", "training"))
    return "\n".join(
        [
            f"model     {facts['model']}, {facts['parameters'] / 1e6:.1f} M parameters",
            f"device    {facts['device']}, precision {facts['precision']}, {how}",
            f"batch     {facts['batch']} x {facts['accumulate']} accumulated x "
            f"{facts['processes']} process(es)"
            + (f", {facts['views']} views of each" if facts["views"] > 1 else ""),
            f"cost      {forward:.3g} GFLOPs a sample forward, {training:.3g} forward and backward "
            f"(both counted; a multiply-add is 2)",
        ]
    )


def model_lines(facts: dict[str, Any]) -> str:
    """How fast the model is on a batch in memory."""
    achieved, peak = (facts[f"{name}flops_per_second"] / 1e9 for name in ("", "peak_"))
    return "\n".join(
        [
            f"step      {facts['samples_per_second']:,.4g} samples/s, "
            f"{facts['steps_per_second']:.3g} steps/s: forward, backward, optimiser "
            f"(median of {facts['steps']})",
            f"share     {facts['share_of_peak']:.0%} of peak: {achieved:,.4g} GFLOP/s, where large "
            f"matrix products reach {peak:,.4g}",
            f"memory    {facts['peak_memory'] / 2**30:.2f} GiB at the peak",
        ]
    )


def data_lines(facts: dict[str, Any]) -> str:
    """How fast the data are, and which of the two bounds training."""
    data, fed = (facts[f"{name}_samples_per_second"] for name in ("data", "fed"))
    model = facts["samples_per_second"]
    bound = "data: more workers, or smaller files" if data < model else "model"
    return "\n".join(
        [
            f"data      {data:,.4g} samples/s from {facts['workers']} worker(s)",
            f"together  {fed:,.4g} samples/s",
            f"verdict   the data feed {data:,.4g} samples/s, the model takes {model:,.4g}: "
            f"bound by the {bound}",
        ]
    )
