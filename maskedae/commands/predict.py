"""maskedae predict CHECKPOINT FILE_OR_FOLDER..."""

import json
from pathlib import Path

from jsonargparse import ArgumentParser

from maskedae.data import Data


def make_parser() -> ArgumentParser:
    """Options of the command."""
    parser = ArgumentParser(prog="maskedae predict", exit_on_error=False, allow_abbrev=False)
    parser.add_argument("checkpoint", type=Path, help="run folder, checkpoint folder or file")
    parser.add_argument("files", type=str, nargs="+", help="files or folders to look at")
    parser.add_argument("--data", type=Data, help="as in the checkpoint, but for what is given")
    parser.add_argument("--top", type=int, default=5, help="classes to name, the likeliest first")
    parser.add_argument("--workers", type=int, default=1, help="processes that read data")
    parser.add_argument("--json", type=Path, help="write a line of JSON for every file here, too")
    return parser


def main(arguments: list[str]) -> int:
    """Say what a classifier takes files for; return the exit status."""
    parser = make_parser()
    if not arguments or arguments[0].startswith("-"):
        parser.print_help()
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2

    from maskedae.finetuning.classifying import classifier_of, in_words, predict
    from maskedae.viewing import parse_with_data

    options, loaded = parse_with_data(parser, arguments)
    if options.top < 1:
        raise ValueError(f"--top is {options.top}; 1 or more would fit")
    if options.json and options.json.exists():
        raise ValueError(f"{options.json} exists; take another name")
    model, data = classifier_of(loaded, options.checkpoint), parser.instantiate(options).data
    source, done = data.files(options.files, loaded.config.shape), 0
    for found in predict(model, data, source, options.workers):
        name = found.file + (" {:.2f}-{:.2f} s".format(*found.span) if found.span else "")
        if isinstance(found.outputs, str):
            print(f"skipped {name}: {found.outputs}", flush=True)
            continue
        said, done = in_words(model.answers, found.outputs, options.top), done + 1
        value = model.answers.kind == "value"
        words = (f"{p:.9g}" if value else f"{data.readable(n)} {p:.1%}" for n, p in said.items())
        print(f"{name}: {', '.join(words)}", flush=True)
        if options.json:
            with options.json.open("a") as file:
                when = dict(zip(("start", "end"), found.span or (), strict=False))
                file.write(json.dumps({"file": found.file, **when, "answers": said}) + "\n")
    return 0 if done else 1
