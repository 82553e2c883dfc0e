"""maskedae probe CHECKPOINT --data.root DIR."""

import time
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Score frozen features, with labels and without; return the exit status."""
    from maskedae.opening import make_parser, open_checkpoint
    from maskedae.probing.probe import probe
    from maskedae.probing.scoring import Protocol

    parser, began = make_parser("probe"), time.monotonic()
    parser.add_argument("--out", type=Path, help="folder to write to; runs/probe/NAME if not given")
    parser.add_argument("--pool", choices=["mean", "class"], nargs="+", help="of the tokens")
    usual = Protocol()
    parser.add_argument(
        "--k", type=int, nargs="+", default=usual.k, help="neighbours; cut to the samples there are"
    )
    parser.add_argument(
        "--shares", type=float, nargs="+", default=usual.shares, help="of labels, for low-shot"
    )
    parser.add_argument(
        "--shots", type=int, nargs="+", default=usual.shots, help="labels per class, for low-shot"
    )
    parser.add_argument("--seeds", type=int, default=usual.seeds, help="draws of few labels")
    if not arguments or arguments[0].startswith("-"):
        parser.print_help()
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    opened = open_checkpoint(parser, arguments)
    folder = probe(opened)
    if opened.state.is_main_process:
        print(f"wrote {folder}/scores.json and bars.png ({time.monotonic() - began:.0f} s)")
    return 0
