"""maskedae predict CHECKPOINT FILE_OR_FOLDER..."""

import json
from pathlib import Path

from jsonargparse import ArgumentParser


def make_parser() -> ArgumentParser:
    """Options of the command."""
    parser = ArgumentParser(prog="maskedae predict", exit_on_error=False, allow_abbrev=False)
    parser.add_argument("checkpoint", type=Path, help="run folder, checkpoint folder or file")
    parser.add_argument("files", type=str, nargs="+", help="files or folders to look at")
    parser.add_argument("--top", type=int, default=5, help="classes to name, the likeliest first")
    parser.add_argument("--workers", type=int, default=1, help="processes that read data")
    parser.add_argument("--json", type=Path, help="write a line of JSON for every file here, too")
    return parser


def main(arguments: list[str]) -> int:
    """Say what a classifier takes files for; return the exit status."""
    try:
        options = make_parser().parse_args(arguments)
    except Exception as error:
        raise ValueError(str(error).strip()) from error
    if options.top < 1:
        raise ValueError(f"--top is {options.top}; 1 or more would fit")
    if options.json and options.json.exists():
        raise ValueError(f"{options.json} exists; take another name")

    from maskedae.finetuning.classifying import classifier_of, in_words, predict
    from maskedae.recipe import make_data
    from maskedae.viewing import data_node
    from maskedae.weights import load_with_report

    loaded = load_with_report(options.checkpoint)
    model, data = classifier_of(loaded, options.checkpoint), make_data(data_node(loaded))
    source, done = data.files(options.files, loaded.config.shape), 0
    for name, found in predict(model, data, source, options.workers):
        if isinstance(found, str):
            print(f"skipped {name}: {found}", flush=True)
            continue
        said, done = in_words(model.answers, found, options.top), done + 1
        value = model.answers.kind == "value"
        words = (f"{p:.9g}" if value else f"{data.readable(n)} {p:.1%}" for n, p in said.items())
        print(f"{name}: {', '.join(words)}", flush=True)
        if options.json:
            with options.json.open("a") as file:
                file.write(json.dumps({"file": name, "answers": said}) + "\n")
    return 0 if done else 1
