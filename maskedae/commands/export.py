"""maskedae export CHECKPOINT --to TARGET --out PATH."""

import argparse
from pathlib import Path
from typing import Any

TARGETS = ("timm", "transformers", "official", "safetensors", "onnx", "torch")


def main(arguments: list[str]) -> int:
    """Write a model for another library, and let that library check it."""
    parser = argparse.ArgumentParser(prog="maskedae export", description=main.__doc__)
    parser.add_argument("checkpoint", type=Path, help="run folder, checkpoint folder or file")
    parser.add_argument("--to", choices=TARGETS, required=True, help="who is to read it")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder to write; or a file: .pth for official, .onnx for onnx, .pt2 for torch",
    )
    parser.add_argument("--encoder_only", action="store_true", help="leave the decoder out")
    parser.add_argument("--modality", choices=("a", "v", "av"), help="of a model of both: one")
    parser.add_argument("--overwrite", action="store_true", help="replace what is in --out")
    options = parser.parse_args(arguments)

    from maskedae.exporting.running import export  # only now: help should come at once
    from maskedae.weights import load_with_report

    part: dict[str, Any] = {"modality": options.modality} if options.modality else {}
    loaded = load_with_report(options.checkpoint, encoder_only=options.encoder_only, **part)
    if licence := loaded.recipe.get("licence"):
        print(f"licence of the weights that it was made from: {licence}")
    export(loaded.model, options.to, options.out, options.overwrite)
    return 0
