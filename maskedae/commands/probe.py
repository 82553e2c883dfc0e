"""maskedae probe CHECKPOINT --data.root DIR."""

import json
import time
from pathlib import Path

import torch
from jsonargparse import ArgumentParser

from maskedae.data import Data


def main(arguments: list[str]) -> int:
    """Score frozen features by nearest neighbours and a linear probe; return the exit status."""
    from maskedae.attention import set_kernel
    from maskedae.encoder import Encoder
    from maskedae.probing import probe
    from maskedae.viewing import data_node
    from maskedae.weights import load_with_report
    from maskedae.zoo import create_model

    parser = ArgumentParser(prog="maskedae probe", exit_on_error=False, allow_abbrev=False)
    parser.add_argument("checkpoint", type=Path, help="run folder, checkpoint folder or file")
    parser.add_argument("--data", type=Data, help="as in the checkpoint, but for what is given")
    parser.add_argument("--pool", choices=["mean", "class"], default="mean", help="of the tokens")
    parser.add_argument("--workers", type=int, default=1, help="processes that read data")
    parser.add_argument("--json", type=Path, help="write the scores to this file, too")
    if not arguments or arguments[0].startswith("-"):
        parser.print_help()
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    began = time.monotonic()
    loaded = load_with_report(Path(arguments[0]))
    parser.set_defaults({"data": data_node(loaded)})
    try:
        options = parser.parse_args(arguments)
    except Exception as error:
        raise ValueError(str(error).strip()) from error

    def fresh() -> Encoder:
        return create_model(loaded.name, **vars(loaded.config)).encoder

    data, shape = parser.instantiate(options).data, loaded.config.shape
    set_kernel(loaded.model, "sdpa")  # the kernel of the training may need another machine
    encoder = loaded.model.encoder.to("cuda" if torch.cuda.is_available() else "cpu")
    scores, skipped = probe(encoder, fresh, data, shape, options.pool, options.workers)
    print(f"{'':<16}{'kNN':>8}{'linear':>9}")
    for row in scores:
        print(f"{row.what:<16}{row.knn:>8.1%}{row.linear:>9.1%}")
    for name, reason in skipped:
        print(f"skipped {name}: {reason}")
    print(f"{time.monotonic() - began:.0f} s")
    if options.json:
        options.json.write_text(json.dumps([row._asdict() for row in scores], indent=1))
    return 0
