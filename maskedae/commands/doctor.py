"""maskedae doctor [DIR]."""

import argparse
import json
import sys
from contextlib import closing, nullcontext
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskedae.doctor.environment import Finding, compiler, packages
from maskedae.doctor.journal import Journal
from maskedae.doctor.wording import plain, report

if TYPE_CHECKING:
    from maskedae.doctor.checkup import Checkup

DESCRIPTION = """Check the environment; or, with DIR, read every file of a folder or list in full.

Files that were read before and have not changed since, in size and time, are not read again: a
check that was stopped goes on where it was. Exit status: 0 if all that is required works, or all
files can be read; 1 if not, or if there is nothing to check; 130 after Ctrl-C.

Where a folder has labels with boxes, of COCO, YOLO, VOC or a table, those are checked, too."""
BASIS = {"torch", "torchvision", "numpy", "pillow", "einops"}  # without them, nothing can be tried


def main(arguments: list[str]) -> int:
    """Check the environment or a folder; return the exit status."""
    options = parse(arguments)
    if options.json is not None and not options.json.parent.is_dir():
        raise ValueError(f"--json {options.json}: there is no folder {options.json.parent}")
    if options.sheet is not None and options.sheet.exists():
        raise ValueError(f"--sheet {options.sheet} is there already; name another file")
    if options.sheet is not None and not options.sheet.parent.is_dir():
        raise ValueError(f"--sheet {options.sheet}: there is no folder {options.sheet.parent}")
    prepare(options)
    try:
        facts, healthy = environment() if options.DIR is None else folder(options)
    except KeyboardInterrupt:
        say("stopped; without --fresh, the same command goes on from here")
        return 130
    if options.json is not None:
        options.json.write_text(json.dumps(facts, indent=1) + "\n")
        say(f"written to {options.json}")
    if options.write is not None:
        from maskedae.doctor.storing import write_statistics

        say(f"written to {options.write}: {write_statistics(options.write, facts)}")
    return 0 if healthy else 1


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="maskedae doctor",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("DIR", nargs="?", help="a folder, list or labels with boxes; without one: the environment")
    add("--stats", action="store_true", help="mean and std of every channel, for a recipe")
    of = parser.add_mutually_exclusive_group().add_argument
    of("--recipe", metavar="RECIPE", help="--stats of samples as this recipe prepares them")
    of("--write", type=Path, metavar="RECIPE", help="the same, and put them into this file")
    add("--json", type=Path, metavar="FILE", help="write everything there")
    add("--sheet", type=Path, metavar="PNG", help="draw pictures with their boxes there")
    add("--kind", metavar="NAME", help="read only what this file of datasets/ can, such as images")
    add("--timeout", type=float, default=30.0, metavar="SECONDS", help="per file, by default 30")
    add("--workers", type=int, metavar="NUMBER", help="processes, by default one per core")
    add("--fresh", action="store_true", help="read again what an earlier check has read")
    options = parser.parse_args(arguments)
    if options.sheet is not None and options.DIR is None:
        parser.error("--sheet needs DIR")
    if options.timeout <= 0 or (options.workers is not None and options.workers < 1):
        parser.error("--timeout and --workers must be above zero")
    if (options.write or options.recipe) is not None and not (options.stats and options.DIR):
        parser.error("--recipe and --write need DIR and --stats, for they say what becomes of them")
    return options


def prepare(options: argparse.Namespace) -> None:
    """Read only the data of a recipe, if one is given, and as it does."""
    options.settings = {}
    if options.write is None and options.recipe is None:
        return
    from maskedae.doctor.preparing import preparation
    from maskedae.recipe import find_recipe

    path = options.write or find_recipe(options.recipe)
    kind, options.settings = preparation(path)
    if options.kind not in (None, kind):
        raise ValueError(f"{path} is for {kind}: leave --kind={options.kind} out")
    options.kind = kind


def say(text: str) -> None:
    """Print a line, whatever characters the terminal cannot show and names should not hold."""
    encoding = sys.stdout.encoding or "utf-8"
    print(plain(text).encode(encoding, "backslashreplace").decode(encoding), flush=True)


def environment() -> tuple[dict[str, Any], bool]:
    """Try and print what is installed; say whether all that is required works."""
    found = {"packages": show("packages", packages())}
    found["torch.compile"] = show("torch.compile", [compiler()])
    if {item.what for item in found["packages"] if item.state == "ok"} >= BASIS:
        devices = import_module("maskedae.doctor.devices")
        trials = import_module("maskedae.doctor.trials")
        found["devices"] = show("devices", devices.find_devices())
        for device in devices.devices():
            title = f"attention on {device}"
            found[title] = show(title, trials.find_kernels(device))
        found["pictures"] = show("pictures", trials.find_decoders())
    sick = [item for part in found.values() for item in part if item.required]
    sick = [item for item in sick if item.state != "ok"]
    names = ", ".join(item.what for item in sick)
    say("")
    say(f"required, but does not work: {names}" if sick else "all that is required works")
    return {title: [item._asdict() for item in part] for title, part in found.items()}, not sick


def show(title: str, findings: list[Finding]) -> list[Finding]:
    """Print what was found, and pass it on."""
    say("")
    say(title)
    wide = max(len(item.what) for item in findings)
    for item in findings:
        say(f"  {item.state:<7}  {item.what:<{wide}}  {item.detail}".rstrip())
        if item.state != "ok" and item.remedy:
            say(f"  {'':<7}  {'':<{wide}}  to add it: {item.remedy}")
    return findings


def folder(options: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Read a folder and print what it holds; say whether all files can be read."""
    from maskedae.doctor.checkup import Checkup  # only here: without torch, too, there is a doctor
    from maskedae.doctor.devices import usable_cores
    from maskedae.doctor.inspection import Inspector, choose

    inspector = Inspector(choose(options.kind), options.stats, options.settings)
    checkup = Checkup(options.DIR, inspector, keep=options.json is not None)
    if options.sheet is not None and checkup.tables is None:
        raise ValueError(f"--sheet draws boxes, but {options.DIR} has none")
    try:
        journal = Journal(checkup.root, inspector.stamp(), options.fresh)
    except OSError as error:
        say(f"what is found will not be remembered: {error}")
        journal = None
    with journal or nullcontext():
        if journal is not None:
            checkup.recall(journal)
        if checkup.remembered:
            say(f"{checkup.remembered:,} files are as an earlier check has read them")
        if checkup.left:
            read(checkup, options.workers or usable_cores(), options.timeout, journal)
    facts = checkup.facts()
    for line in report(facts):
        say(line)
    if options.sheet is not None and checkup.tables is not None:
        from maskedae.doctor.sheet import draw_sheet

        say(f"{draw_sheet(checkup.tables, options.sheet)} pictures drawn in {options.sheet}")
    return facts, not facts["bad"]


def read(checkup: "Checkup", workers: int, limit: float, journal: Journal | None) -> None:
    """Read the files that are left, and show how far it is."""
    from maskedae.progress import Meter

    say(f"{len(checkup.left):,} files to read, {workers} at a time")
    with closing(checkup.read(workers, limit, journal)) as steps:
        # The time left is reckoned from the first file on: until then the workers start.
        first = next(steps)
        with Meter("reading", len(checkup.paths), first) as meter:
            for done in steps:
                meter.update(done, {"bad": str(len(checkup.census.bad))})
