"""maskedae embed CHECKPOINT --data.root DIR --out FEATURES."""

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace


def add_options(parser: ArgumentParser) -> None:
    """Options of this command alone."""
    parser.add_argument("files", type=str, nargs="*", help="files and folders, if not --data.root")
    parser.add_argument("--out", type=Path, help="FEATURES.parquet or FEATURES.npz")
    parser.add_argument(
        "--pool",
        choices=["mean", "class", "patches"],
        nargs="+",
        default=["mean"],
        help="mean of the patches, class token, all patches",
    )
    parser.add_argument(
        "--pca", type=Path, help="picture of patches in colours of three components"
    )
    parser.add_argument("--attention", type=Path, help="picture of where every head looks")
    parser.add_argument("--most", type=int, default=8, help="samples in a picture, at most")


def check(options: Namespace, arguments: list[str]) -> None:
    """Raise ValueError for options that do not go together."""
    if not (options.out or options.pca or options.attention):
        raise ValueError("say what to write: --out FEATURES.parquet, --pca or --attention FILE.png")
    if options.files and any(argument.startswith("--data.root") for argument in arguments):
        raise ValueError("name files or give --data.root, not both")
    if options.most < 1:
        raise ValueError(f"--most is {options.most}; 1 or more would fit")


def main(arguments: list[str]) -> int:
    """Write features of samples to a file, or draw them; return the exit status."""
    from maskedae.embedding import embed
    from maskedae.feature_maps import draw_attention, draw_principal
    from maskedae.opening import make_parser, open_checkpoint, open_sources

    parser = make_parser("embed")
    add_options(parser)
    if not arguments or arguments[0].startswith("-"):
        parser.print_help()
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    opened = open_checkpoint(parser, arguments)
    options, main_process = opened.options, opened.state.is_main_process
    check(options, arguments)
    sources = open_sources(opened, options.files)
    skipped, shown = [], sources.get("held_out", next(iter(sources.values())))
    for draw, path in ((draw_principal, options.pca), (draw_attention, options.attention)):
        if path and main_process:
            written, missed = draw(opened, shown, path, options.most)
            skipped += missed
            print(f"wrote {' and '.join(map(str, written))}")
    if options.out:
        skipped += embed(opened, sources, options.out, options.pool)
    if main_process:
        for name, reason in dict(skipped).items():
            print(f"skipped {name}: {reason}")
        print(f"{len(dict(skipped))} samples skipped")
    return 0
