"""Say in words what labels with boxes are like."""

from collections.abc import Iterator
from typing import Any

from maskedae.doctor.wording import number, plain, relative, shortened, tally


def describe_boxes(boxes: dict[str, Any], top: str) -> Iterator[str]:
    """Classes, the most common first, then sizes, then what is wrong."""
    classes, splits = boxes["classes"], boxes["splits"]
    yield ""
    yield f"boxes: {len(classes):,} classes"
    ordered = sorted(classes.items(), key=lambda item: -sum(item[1].values()))
    wide = max((len(plain(name)) for name, _ in ordered), default=0)
    yield from shortened([f"{plain(name):<{wide}}  {tally(counts)}" for name, counts in ordered])
    for split, facts in splits.items():
        yield from describe_split(split, facts)
    if boxes["faults"]:
        yield "  faults"
        for item in boxes["faults"]:
            files = ", ".join(relative(file, top) for file in item["files"])
            more = ", ..." * (item["count"] > len(item["files"]))
            yield f"    {item['count']:,} {item['fault']}: {plain(files)}{more}"
    for text in boxes["odd"]:
        yield f"  WARNING {text}"


def describe_split(split: str, facts: dict[str, Any]) -> Iterator[str]:
    """How many boxes there are, and how large."""
    extra = {name: facts[name] for name in ("crowds", "masks", "pictures without boxes")}
    counts = {name: count for name, count in extra.items() if count}
    parts = [f"{facts['boxes']:,} boxes on {facts['pictures']:,} pictures"]
    yield f"  {split}: {', '.join(parts + [f'{count:,} {name}' for name, count in counts.items()])}"
    if not facts["boxes"]:
        return
    yield f"    boxes of a picture    {ends(facts['boxes of a picture'])}"
    for name, values in zip(("width", "height"), facts["width x height"], strict=True):
        yield f"    {name:<22}{ends(values)} pixels"
    share = {end: f"{100 * value:.3g} %" for end, value in facts["share of the picture"].items()}
    yield f"    share of the picture  {', '.join(f'{end} {v}' for end, v in share.items())}"
    yield f"    as COCO sorts them    {tally(facts['sizes'])}"


def ends(values: dict[str, float]) -> str:
    """Smallest, median and largest on one line."""
    return ", ".join(f"{end} {number(value)}" for end, value in values.items())
