"""maskedae import FILE_OR_HUB_ID --out DIR."""

import re
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

MODEL = ("size", "patch", "channels", "heads", "decoder_heads", "normalize_target", "norm_eps")


def make_parser() -> ArgumentParser:
    """Options of the command."""
    parser = ArgumentParser(prog="maskedae import", exit_on_error=False, description=main.__doc__)
    add = parser.add_argument
    add("source", type=str, help="file, folder, or OWNER/NAME on the Hugging Face hub")
    add("--out", type=Path, required=True, help="folder to write; it serves as CHECKPOINT")
    sides = int | list[int]
    add("--size", type=sides | None, help="stretch positions to other images: 384, or [96, 128]")
    add("--patch", type=sides | None, help="resample patches to other sides")
    add("--channels", type=int | None, help="sum or repeat channels to another number")
    add("--heads", type=int | None, help="attention heads, where the file does not tell")
    add("--decoder_heads", type=int | None, help="the same of the decoder")
    add("--normalize_target", type=bool | None, help="whether it predicts normalised patches")
    add("--norm_eps", type=float | None, help="added to variances, where the file does not tell")
    add("--encoder_only", action="store_true", help="leave decoder and head out")
    add("--strict", type=bool, default=True, help="false takes what fits of a file that does not")
    add("--digest", type=str | None, help="fail unless features are those of this digest")
    add("--overwrite", action="store_true", help="replace what is in --out")
    return parser


def named(source: str) -> str:
    """The source, with what marks it as a name of the hub if it is one."""
    is_name = re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", source) and not Path(source).exists()
    suffixes = (".pth", ".pt", ".bin", ".safetensors")
    return f"hf-hub:{source}" if is_name and not source.endswith(suffixes) else source


def sides(value: Any) -> Any:
    """One number for both sides, or a list of them as a tuple."""
    return tuple(value) if isinstance(value, list) else value


def main(arguments: list[str]) -> int:
    """Bring published weights into a folder that every other command takes as CHECKPOINT."""
    parser = make_parser()
    if not arguments or arguments[0] in ("-h", "--help"):
        parser.print_help()
        return 0 if arguments else 2
    try:
        options = parser.parse_args(_plain_lists(arguments))
    except Exception as error:
        raise ValueError(str(error).strip()) from error
    check_place(options.out, options.overwrite)

    from maskedae.digest import check_digest, digest  # only now: help should come at once
    from maskedae.weights import load_with_report

    source = named(options.source)
    overrides = {name: sides(options[name]) for name in MODEL if options[name] is not None}
    loaded = load_with_report(
        source, options.strict, encoder_only=options.encoder_only, **overrides
    )
    found = digest(loaded.model.encoder)
    print(loaded.report)
    print(f"licence: {loaded.recipe.get('licence', 'of your own')}\ndigest:  {found}")
    if options.digest:
        check_digest(found, options.digest)
        print("the digest is as expected")
    write(loaded.model, options.out, source, found)
    return 0


def check_place(out: Path, overwrite: bool) -> None:
    """Raise ValueError where something would be lost."""
    if out.exists() and not overwrite and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} exists; --overwrite replaces it, another --out keeps it")


def write(model: Any, out: Path, source: str, digest: str) -> None:
    """Save a model that remembers where it comes from; say how to use it."""
    place = source if source.startswith("hf-hub:") else Path(source).name
    model.encoder.recipe |= {"digest": digest, "source": place}
    (out / "README.md").unlink(missing_ok=True)  # the card of what is replaced
    model.save_pretrained(out)
    print(f"wrote {out}; every CHECKPOINT may be {out}, and in Python: maskedae.load({str(out)!r})")


def _plain_lists(arguments: list[str]) -> list[str]:
    """Sides as 96,128 written as lists."""
    return [re.sub(r"^((?:--(?:size|patch)=)?)(\d+(?:,\d+)+)$", r"\1[\2]", a) for a in arguments]
