"""maskedae reconstruct CHECKPOINT FILE_OR_FOLDER... --out grid.png."""

from pathlib import Path

from jsonargparse import ArgumentParser

from maskedae.data import Data
from maskedae.masking import Masker


def make_parser() -> ArgumentParser:
    """Options of the command."""
    parser = ArgumentParser(prog="maskedae reconstruct", exit_on_error=False, allow_abbrev=False)
    parser.add_argument("checkpoint", type=Path, help="run folder, checkpoint folder or file")
    parser.add_argument("files", type=str, nargs="+", help="files or folders to look at")
    parser.add_argument("--data", type=Data, help="as in the checkpoint, but for what is given")
    parser.add_argument("--out", type=Path | None, help="what to write, else grid.EXTENSION")
    parser.add_argument(
        "--mask_ratio",
        type=float | list[float] | None,
        help="share to hide, or several; such as 0.75, 0.85 and 0.95",
    )
    parser.add_argument(
        "--masker", type=Masker | None, help="instead of the checkpoint's own, such as BlockMasker"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the masks")
    parser.add_argument("--most", type=int, default=8, help="samples in the picture, at most")
    parser.add_argument(
        "--oracle",
        action="store_true",
        help="draw hidden patches with their true mean and deviation; stamped on the picture",
    )
    return parser


def main(arguments: list[str]) -> int:
    """Draw what a model imagines of files; return the exit status."""
    parser = make_parser()
    if not arguments or arguments[0].startswith("-"):
        parser.print_help()
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2

    from maskedae.viewing import draw_reconstructions, parse_with_data

    options, loaded = parse_with_data(parser, arguments)
    made, ratio = parser.instantiate(options), options.mask_ratio
    asked = [ratio] if isinstance(ratio, float) else ratio or []
    if wrong := [share for share in asked if not 0 < share < 1]:
        raise ValueError(f"--mask_ratio is {wrong[0]}; a share between 0 and 1 would fit")
    out = options.out or Path(made.data.figure)
    if out.is_dir():
        raise ValueError(f"--out {out} is a folder; name a file in it")
    if options.most < 1:
        raise ValueError(f"--most is {options.most}; 1 or more would fit")
    written, skipped = draw_reconstructions(
        loaded=loaded,
        data=made.data,
        files=options.files,
        out=out,
        masker=made.masker,
        ratios=asked or None,
        seed=options.seed,
        most=options.most,
        oracle=options.oracle,
    )
    for name, reason in skipped:
        print(f"skipped {name}: {reason}")
    print(f"wrote {' and '.join(map(str, written))}")
    return 0
