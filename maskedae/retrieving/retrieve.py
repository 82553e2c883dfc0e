"""From a checkpoint and films to scores of retrieval."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maskedae.data import Source
from maskedae.loading import batch_for
from maskedae.opening import Opened
from maskedae.probing.probe import fresh_encoder
from maskedae.retrieval import Places, both_ways, chance, measure
from maskedae.retrieving.collecting import Collected, choose, collect, vectors_of
from maskedae.retrieving.neighbours import Way, draw_neighbours
from maskedae.retrieving.report import Scores, counted, show, write_scores

TRAINED, RANDOM, CHANCE = "checkpoint", "random init", "chance"
Both = tuple[Places, Places]  # of pictures asked for by sound, and of sound by pictures


def retrieve(opened: Opened, split: str, source: Source) -> Path:
    """Encode films, rank them, write and print what came of it; return the folder."""
    options, name = opened.options, opened.loaded.name
    folder: Path = options.out or Path("runs") / "retrieve" / options.checkpoint.absolute().stem
    if (folder / "scores.json").exists() and not options.overwrite:
        raise ValueError(
            f"{folder} holds scores; --overwrite replaces them, another --out keeps them"
        )
    candidates = {TRAINED: vectors_of(opened.encoder, name)}
    candidates[RANDOM] = vectors_of(fresh_encoder(opened), name)
    indices, size = choose(source, options.per_class), options.batch_size or batch_for(source)
    found = collect(candidates, opened.data, source, indices, size, options.workers)
    if not opened.state.is_main_process:
        return folder
    left = counted(found.lacking, found.skipped)
    if len(found.indices) < 2:
        raise ValueError(
            f"{len(found.indices)} of {len(indices)} samples have sound and pictures, and it takes "
            f"2 to search among: {left or 'there are no more'}"
        )
    placed = {what: both_ways(*vectors) for what, vectors in found.vectors.items()}
    scores = score(placed, len(found.indices))
    print(
        f"{len(found.indices)} of {len(indices)} samples scored, {split}, fingerprint "
        f"{source.fingerprint}{'; ' * bool(left)}{left}"
    )
    show(scores, len(found.indices), found.lacking, found.skipped)
    draw(opened, source, found, placed[TRAINED], size, folder / "neighbours.png")
    write_scores(folder, scores, facts(opened, split, source, found))
    return folder


def score(placed: Mapping[str, Both], count: int) -> dict[str, Scores]:
    """Scores of all candidates, and of chance among so many films."""
    found = {what: Scores(*map(measure, both)) for what, both in placed.items()}
    return {**found, CHANCE: Scores(chance(count), chance(count))}


def facts(opened: Opened, split: str, source: Source, found: Collected) -> dict[str, Any]:
    """What somebody who compares scores should know of them, as plain values."""
    key = opened.key({split: source}, [])
    return {
        "checkpoint": str(opened.options.checkpoint),
        **{name: value for name, value in key.items() if name != "layers"},
        "split": split,
        "per_class": opened.options.per_class,
        "views": source.shape[0],
        "similarity": "cosine of the vectors' means over views",
        "samples": len(source),
        "scored": len(found.indices),
        "lacking": [row._asdict() for row in found.lacking],
        "skipped": [row._asdict() for row in found.skipped],
    }


def draw(
    opened: Opened, source: Source, found: Collected, places: Both, size: int, path: Path
) -> None:
    """Write a picture of queries, and of what the checkpoint finds nearest to them."""
    audio, video = found.vectors[TRAINED]
    ways = Way("sound", audio, video, places[0]), Way("pictures", video, audio, places[1])
    workers = opened.options.workers
    sheet = draw_neighbours(ways, opened.data, source, found.indices, size, workers)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, format="PNG")
