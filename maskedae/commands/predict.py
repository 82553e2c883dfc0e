"""maskedae predict CHECKPOINT FILE_OR_FOLDER..."""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from maskedae.data import Data

if TYPE_CHECKING:
    from maskedae.classifier import Classifier
    from maskedae.data import Source
    from maskedae.detection.detector import Detector

OUT, LEAST = Path("predicted"), 0.5  # of a detector, if nothing else is said


def make_parser() -> ArgumentParser:
    """Options of the command."""
    parser = ArgumentParser(prog="maskedae predict", exit_on_error=False, allow_abbrev=False)
    parser.add_argument("checkpoint", type=Path, help="run folder, checkpoint folder or file")
    parser.add_argument("files", type=str, nargs="+", help="files or folders to look at")
    parser.add_argument("--data", type=Data, help="as in the checkpoint, but for what is given")
    parser.add_argument(
        "--top", type=int, default=5, help="of a classifier: classes to name, the likeliest first"
    )
    parser.add_argument(
        "--out", type=Path | None, help=f"of a detector: folder for pictures; {OUT}/ if not given"
    )
    parser.add_argument(
        "--min_score",
        type=float | None,
        help=f"of a detector: leave less probable boxes out; {LEAST} if not given",
    )
    parser.add_argument("--workers", type=int, help="processes that read data")
    parser.add_argument("--json", type=Path, help="write a line of JSON for every file here, too")
    return parser


def main(arguments: list[str]) -> int:
    """Say what a model takes files for, or what it finds on them; return the exit status."""
    parser = make_parser()
    if not arguments or arguments[0].startswith("-"):
        parser.print_help()
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2

    from maskedae.attention import set_kernel
    from maskedae.detection.detector import Detector
    from maskedae.finetuning.classifying import classifier_of
    from maskedae.processes import make_state, readers
    from maskedae.viewing import parse_with_data

    options, loaded = parse_with_data(parser, arguments)
    if options.top < 1:
        raise ValueError(f"--top is {options.top}; 1 or more would fit")
    if options.json and options.json.exists():
        raise ValueError(f"{options.json} exists; take another name")
    if options.json and not options.json.parent.is_dir():
        raise ValueError(f"--json {options.json}: there is no folder {options.json.parent}")
    if options.workers is None:
        options.workers = readers(make_state())
    model = loaded.model
    if not isinstance(model, Detector):
        if options.out or options.min_score is not None:
            raise ValueError("--out and --min_score are for detectors: leave them out")
        model = classifier_of(loaded, options.checkpoint)
    data = parser.instantiate(options).data
    source = data.files(options.files, loaded.config.shape)
    if isinstance(model, Detector):
        set_kernel(model, "sdpa")  # the kernel of the training may need another machine
        return 0 if tell_boxes(model, data, source, options) else 1
    return 0 if tell_classes(model, data, source, options) else 1


def tell_classes(model: "Classifier", data: Data, source: "Source", options: Namespace) -> int:
    """Say what a classifier takes files for; return how many could be read."""
    from maskedae.finetuning.classifying import in_words, predict

    done = 0
    for found in predict(model, data, source, options.workers):
        name = found.file + (" {:.2f}-{:.2f} s".format(*found.span) if found.span else "")
        if isinstance(found.outputs, str):
            print(f"skipped {name}: {found.outputs}", flush=True)
            continue
        said, done = in_words(model.answers, found.outputs, options.top), done + 1
        value = model.answers.kind == "value"
        words = (f"{p:.9g}" if value else f"{data.readable(n)} {p:.1%}" for n, p in said.items())
        print(f"{name}: {', '.join(words)}", flush=True)
        when = dict(zip(("start", "end"), found.span or (), strict=False))
        keep(options.json, {"file": found.file, **when, "answers": said})
    return done


def tell_boxes(model: "Detector", data: Data, source: Any, options: Namespace) -> int:
    """Draw what a detector finds on pictures, and say it; return how many could be read."""
    from maskedae.detection.evaluating import in_words, predict
    from maskedae.detection.pictures import save_drawn, written
    from maskedae.loading import Skipped
    from maskedae.viewing import refuse_to_replace

    least = LEAST if options.min_score is None else options.min_score
    if not 0 <= least <= 1:
        raise ValueError(f"--min_score is {least}; [0, 1] would fit")
    out, done = options.out or OUT, 0
    places = written(source, out)
    refuse_to_replace(source, places)
    if there := [place for place in places if place.exists()]:
        raise ValueError(f"{there[0]} exists; another --out keeps it")
    for seen in predict(model, data, source, options.workers):
        if isinstance(seen, Skipped):
            print(f"skipped {seen.name}: {seen.reason}", flush=True)
            continue
        found, done = seen.found.over(least), done + 1
        save_drawn(source.picture(seen.number), found, model.classes, places[seen.number])
        boxes = in_words(found, seen.size, model.classes)
        counts = Counter(one["class"] for one in boxes)
        words = (f"{count} {data.readable(name)}" for name, count in counts.most_common())
        nothing = f"nothing as probable as {least:g}"
        print(f"{seen.file}: {', '.join(words) or nothing}", flush=True)
        height, width = seen.size
        keep(options.json, {"file": seen.file, "width": width, "height": height, "boxes": boxes})
    if done:
        print(f"wrote {out}: {done} picture(s)")
    return done


def keep(path: Path | None, row: dict[str, Any]) -> None:
    """Add a line of JSON to a file, if there is one."""
    if path:
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")
