"""maskedae predict CHECKPOINT FILE_OR_FOLDER..."""

import json
from pathlib import Path

from jsonargparse import ArgumentParser

BATCH = 64


def main(arguments: list[str]) -> int:
    """Say what a classifier takes files for; return the exit status."""
    parser = ArgumentParser(prog="maskedae predict", exit_on_error=False, allow_abbrev=False)
    parser.add_argument("checkpoint", type=Path, help="run folder, checkpoint folder or file")
    parser.add_argument("files", type=str, nargs="+", help="files or folders to look at")
    parser.add_argument("--top", type=int, default=5, help="classes to name, the likeliest first")
    parser.add_argument("--workers", type=int, default=1, help="processes that read data")
    parser.add_argument("--json", type=Path, help="write a line of JSON for every file here, too")
    try:
        options = parser.parse_args(arguments)
    except Exception as error:
        raise ValueError(str(error).strip()) from error
    if options.top < 1:
        raise ValueError(f"--top is {options.top}; 1 or more would fit")

    import torch

    from maskedae.finetuning.classifying import classifier_of, in_words, readable
    from maskedae.loading import read_in_order
    from maskedae.recipe import make_data
    from maskedae.viewing import data_node
    from maskedae.weights import load_with_report

    loaded = load_with_report(options.checkpoint)
    model, data = classifier_of(loaded, options.checkpoint), make_data(data_node(loaded))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device)
    source = data.files(options.files, loaded.config.shape)
    lines, skipped = [], []
    for batch in read_in_order(source, list(range(len(source))), BATCH, options.workers):
        skipped += batch.skipped
        if batch.samples is None:
            continue
        with torch.no_grad():
            outputs = model.answers.read(model(data.signal(batch.samples.to(device)))).cpu()
        for (_, index), row in zip(batch.draws, outputs, strict=True):
            said = in_words(model.answers, row, options.top)
            value = model.answers.kind == "value"
            words = (f"{p:.4g}" if value else f"{readable(n)} {p:.1%}" for n, p in said.items())
            print(f"{source.name(index)}: {', '.join(words)}", flush=True)
            lines.append(json.dumps({"file": source.name(index), "answers": said}))
    for name, reason in skipped:
        print(f"skipped {name}: {reason}")
    if options.json:
        options.json.write_text("".join(f"{line}\n" for line in lines))
    return 0 if lines else 1
