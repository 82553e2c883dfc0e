"""From a checkpoint and data to scores."""

from pathlib import Path
from typing import Any

import torch

from maskedae.encoder import Encoder
from maskedae.extraction import Pooling, choose_layers, digest, extract, feature_names
from maskedae.finetuning.auditing import audit
from maskedae.finetuning.objectives import answers_of
from maskedae.loading import batch_for
from maskedae.opening import Opened, Sources, open_sources
from maskedae.parts import Parts
from maskedae.probing.candidates import encode_all, load_samples, why_unscored
from maskedae.probing.report import show, write_scores
from maskedae.probing.scoring import Protocol, Scorer
from maskedae.ragged import suit
from maskedae.zoo import create_model


def fresh_encoder(opened: Opened) -> Encoder:
    """An encoder of the same build with random weights, always the same ones."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = create_model(opened.loaded.name, **vars(opened.loaded.config))
    suit(model, opened.data)
    return model.encoder.to(opened.state.device).eval()


def extract_all(
    opened: Opened, sources: Sources, parts: Parts, layers: list[int], pools: list[Pooling]
) -> dict[str, Any]:
    """Extract the features of all candidates; return all that they depend on."""
    options, random = opened.options, fresh_encoder(opened)
    key = opened.key(sources, layers) | {"pools": pools, "random weights": digest(random)}
    if opened.state.is_main_process:
        if options.overwrite and parts.folder.exists():
            parts.open(key, overwrite=True)  # which refuses what are no features
            parts.remove()  # even those of the same key: files that were broken may be mended
        parts.open(key)
    opened.state.wait_for_everyone()
    encode = encode_all(opened.encoder, random, layers, pools)
    extract(parts, encode, opened.data, sources, options.workers)
    return key


def probe(opened: Opened) -> Path:
    """Extract features, score them, write and print what came of it; return the folder."""
    options, encoder = opened.options, opened.encoder
    sources = open_sources(opened)
    unscored = why_unscored(sources)
    if not unscored and opened.state.is_main_process:
        print(audit(answers_of(sources["train"]), sources["train"], sources["held_out"]))
    layers = choose_layers(encoder, options.layers or [max(encoder.num_layers * 3 // 4 - 1, 0), -1])
    pools: list[Pooling] = options.pool or (["mean", "class"] if encoder.prefix else ["mean"])
    protocol = Protocol(options.k, options.shares, options.shots, options.seeds)
    folder = options.out or Path("runs") / "probe" / options.checkpoint.absolute().stem
    parts = Parts(folder / "features", options.batch_size or batch_for(sources["train"]))
    key = extract_all(opened, sources, parts, layers, pools)
    if not opened.state.is_main_process:
        return folder
    names = feature_names(encoder, layers, pools)
    loaded = {split: load_samples(parts, split, source, names) for split, source in sources.items()}
    held_out = None if unscored else loaded["held_out"]
    found = Scorer(protocol, opened.state.device)(loaded["train"], held_out)
    skipped = [row for samples in loaded.values() for row in samples.skipped]
    show(found, skipped, unscored)
    facts = {
        "checkpoint": str(options.checkpoint),
        "features": {name: list(columns) for name, columns in loaded["train"].columns.items()},
        "samples": {name: len(source) for name, source in sources.items()},
        "unscored": unscored,
        **key,
    }
    write_scores(folder, found, skipped, facts)
    return folder
