"""The command line: one command, many verbs."""

import csv
import os
import sys
from collections.abc import Callable
from importlib import import_module
from io import TextIOWrapper

from maskedae import __version__
from maskedae.hints import nearest

COMMANDS = {
    "quickstart": "the main job, on data that ships with the package, in a minute and a half",
    "pretrain": "learn to imagine what is hidden: RECIPE --data.root DIR",
    "finetune": "learn to answer from labels: RECIPE --init CHECKPOINT --data.root DIR",
    "detect": "learn to find things on pictures: RECIPE --init CHECKPOINT --data.root DIR",
    "evaluate": "score a classifier or a detector on held-out samples: CHECKPOINT",
    "predict": "classes of files, or boxes on pictures: CHECKPOINT FILE...",
    "reconstruct": "original, masked, imagined: CHECKPOINT FILE...",
    "probe": "score an encoder's features, beside baselines: CHECKPOINT --data.root DIR",
    "retrieve": "find films by their sound and sounds by their film: CHECKPOINT --data.root DIR",
    "embed": "features to a file, or as pictures: CHECKPOINT --data.root DIR --out FEATURES",
    "import": "published weights to a CHECKPOINT: FILE_OR_HUB_ID --out DIR",
    "export": "for timm, transformers, ONNX ...: CHECKPOINT --to TARGET --out PATH",
    "recipes": "the recipes there are; copy one to edit",
    "models": "the models there are, with parameters and FLOPs",
    "bench": "speed, FLOPs, share of the machine's measured peak: RECIPE",
    "doctor": "check the environment, or every file of a folder: [DIR]",
}


def usage() -> str:
    """What there is to do."""
    verbs = "\n".join(f"  {name:<12} {what}" for name, what in COMMANDS.items())
    return (
        f"maskedae {__version__}: masked autoencoding for images, video and audio\n\n"
        f"usage: maskedae COMMAND ...\n\n{verbs}\n\nmaskedae COMMAND --help tells more.\n"
        "A CHECKPOINT is a run folder, a checkpoint folder or a file."
    )


def take_leave() -> None:
    """Let go of the other processes that took part in a command, if any did."""
    if "torch" in sys.modules:
        import torch.distributed as dist

        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()


def main(arguments: list[str] | None = None) -> int:
    """Run a command; return the exit status. What a user can mend is told without a traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may be of any bytes
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0
    if arguments[0] == "--version":
        print(__version__)
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"maskedae: no command {name}; {nearest(name, list(COMMANDS))}", file=sys.stderr)
        return 2
    command: Callable[[list[str]], int] = import_module(f"maskedae.commands.{name}").main
    try:
        status = command(rest)
        take_leave()
        return status
    except KeyboardInterrupt:
        print(f"maskedae {name}: interrupted; what is whole was kept", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read what we say has heard enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError, ArithmeticError, csv.Error) as error:
        if "MASKEDAE_DEBUG" in os.environ:
            raise
        print(f"maskedae {name}: {error}", file=sys.stderr)
        return 1
