"""Files of features: Parquet tables, and arrays of NumPy."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from maskedae.data import Source
from maskedae.opening import Sources
from maskedae.parts import Part, Parts

SPAN = ("start", "end")  # seconds
GROUP = 2**26  # bytes of features in a row group, or a little more


def text(path: str) -> str:
    r"""A path as valid text, where bytes that are none are written out.

    >>> text("caf\udce9.png")
    'caf\\xe9.png'
    """
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def readable(parts: Parts, sources: Sources) -> Iterator[tuple[str, Source, Part]]:
    """Parts with features, split by split."""
    for split, source in sources.items():
        for part in parts.read(split, len(source)):
            if part.columns:
                yield split, source, part


def label_fields(sources: Sources) -> dict[str, pa.DataType]:
    """Columns for labels: a class and its number, several of them, or a value."""
    labels = next((s.labels for s in sources.values() if s.labels is not None), None)
    if labels is None:
        return {}
    if labels.is_floating_point():
        return {"label": pa.float64()}
    one = {"label": pa.int64(), "class": pa.string()}
    return {name: pa.list_(kind) for name, kind in one.items()} if labels.ndim > 1 else one


def spanned(sources: Sources) -> bool:
    """Whether samples are stretches of files."""
    return any(source.spans is not None for source in sources.values())


def told(source: Source, indices: list[int]) -> dict[str, list[Any]]:
    """What a source says of its samples."""
    columns: dict[str, list[Any]] = {"path": [text(source.name(index)) for index in indices]}
    if source.spans is not None:
        columns |= dict(zip(SPAN, source.spans[indices].T.tolist(), strict=True))
    if source.labels is None:
        return columns
    labels = source.labels[indices]
    if labels.is_floating_point():
        return columns | {"label": labels.tolist()}
    if labels.ndim == 1:
        names: list[Any] = [source.classes[number] for number in labels.tolist()]
        return columns | {"label": labels.tolist(), "class": names}
    numbers = [np.flatnonzero(row).tolist() for row in labels.numpy()]
    names = [[source.classes[number] for number in row] for row in numbers]
    return columns | {"label": numbers, "class": names}


def write_parquet(path: Path, parts: Parts, sources: Sources, facts: dict[str, Any]) -> None:
    """Write a table with a row for each sample; facts stand in the schema's metadata.

    No more than a row group is held in memory. Features of patches (N, D) are lists of N * D.
    """
    fields = {"split": pa.string(), "sample": pa.int64(), "path": pa.string()}
    fields |= {name: pa.float64() for name in SPAN if spanned(sources)} | label_fields(sources)
    for name, shape in facts["shapes"].items():
        fields[name] = pa.list_(pa.float32(), torch.Size(shape).numel())
    schema = pa.schema(list(fields.items()), metadata={"maskedae": json.dumps(facts)})
    held, size = list[pa.RecordBatch](), 0
    with pq.ParquetWriter(path, schema, use_dictionary=["split", "class"]) as writer:
        for split, source, part in readable(parts, sources):
            indices = part.indices.tolist()
            columns: dict[str, Any] = {"split": [split] * len(indices), "sample": indices}
            columns |= told(source, indices)
            columns |= {name: as_lists(tensor) for name, tensor in part.columns.items()}
            whole = [columns.get(name, [None] * len(indices)) for name in fields]
            arrays = [pa.array(x, kind) for x, kind in zip(whole, fields.values(), strict=True)]
            held.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
            size += held[-1].nbytes
            if size > GROUP:
                writer.write_table(pa.Table.from_batches(held))
                held, size = [], 0
        if held:
            writer.write_table(pa.Table.from_batches(held))


def as_lists(features: Tensor) -> pa.Array:
    """Features as lists of one length: (n, ...) -> n lists."""
    values = features.flatten(1)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.numpy().ravel()), values.shape[1])


def write_npz(path: Path, parts: Parts, sources: Sources, facts: dict[str, Any]) -> None:
    """Write arrays with a row for each sample; the facts are one more, of JSON text.

    All are held in memory. Class names are `classes[label]`.
    """
    found = list(readable(parts, sources))
    arrays = {
        name: np.concatenate([part.columns[name].numpy() for _, _, part in found])
        for name in facts["shapes"]
    }
    arrays["sample"] = np.concatenate([part.indices.numpy() for _, _, part in found])
    arrays["split"] = np.array([split for split, _, part in found for _ in part.indices])
    names = [text(source.name(i)) for _, source, part in found for i in part.indices.tolist()]
    arrays["path"] = np.array(names)
    if spanned(sources):
        spans = [source.spans[p.indices] for _, source, p in found if source.spans is not None]
        arrays |= dict(zip(SPAN, torch.cat(spans).T.numpy(), strict=True))
    labels = [source.labels[part.indices] for _, source, part in found if source.labels is not None]
    if len(labels) == len(found):
        arrays |= {"label": torch.cat(labels).numpy(), "classes": np.array(facts["classes"], str)}
    arrays["maskedae"] = np.array(json.dumps(facts))
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type, unused-ignore]


Write = Callable[[Path, Parts, Sources, dict[str, Any]], None]
WRITERS: dict[str, Write] = {".parquet": write_parquet, ".npz": write_npz}
