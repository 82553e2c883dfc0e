"""Add up what is known of every file of a folder: counts, ranges, labels, copies, mean."""

import math
import re
from collections import Counter, defaultdict
from typing import Any

import numpy as np

from maskedae.listing import Splits

Value = int | float | tuple[float, ...]
APART = {"kind", "bad", "signature", "hash", "warnings", "sums"}  # not counted as they stand
COMMON = 5  # values in a table of the most common
UNEVEN = 10  # times as many samples as the smallest class has: uneven
SPLITS = ("train", "held_out")


def extent(value: Value) -> float:
    """What orders numbers, and lists of numbers: the product."""
    return math.prod(value) if isinstance(value, tuple) else value


def span(counts: Counter[Value]) -> dict[str, Any]:
    """Smallest, median, largest and most common of counted values."""
    values = sorted(counts, key=extent)
    middle = np.searchsorted(np.cumsum([counts[value] for value in values]), counts.total() / 2)
    common = [[value, count] for value, count in counts.most_common(COMMON)]
    ends = {"min": values[0], "median": values[int(middle)], "max": values[-1]}
    return {**ends, "distinct": len(values), "common": common}


class Kind:
    """The readable samples of one kind."""

    def __init__(self) -> None:
        self.count = 0
        self.texts: dict[str, Counter[str]] = defaultdict(Counter)
        self.values: dict[str, Counter[Value]] = defaultdict(Counter)
        self.sums = np.zeros((3, 1))  # (3, C): of ones, of values, of squares

    def add(self, report: dict[str, Any]) -> None:
        """Take in the report on a sample."""
        self.count += 1
        for name, value in report.items():
            if name in APART:
                continue
            if isinstance(value, str):
                self.texts[name][value] += 1
            else:
                self.values[name][tuple(value) if isinstance(value, list) else value] += 1
        self.sums = self.sums + np.array(report.get("sums", 0.0))

    def facts(self) -> dict[str, Any]:
        """What they are like; mean and deviation of every channel where there are sums."""
        facts: dict[str, Any] = {"count": self.count}
        facts |= {name: dict(counts.most_common()) for name, counts in self.texts.items()}
        facts |= {name: span(counts) for name, counts in self.values.items()}
        ones, values, squares = self.sums
        if ones.all():
            mean = values / ones
            std = np.sqrt(np.maximum(squares / ones - mean**2, 0))
            facts |= {"mean": mean.tolist(), "std": std.tolist()}
        return facts


class Census:
    """The samples of a folder, as one report after the other comes in."""

    def __init__(self, splits: Splits) -> None:
        self.splits = splits
        self.kinds: dict[str, Kind] = defaultdict(Kind)
        self.bad: dict[int, str] = {}
        self.warnings: Counter[str] = Counter()
        self.examples: dict[str, tuple[int, str]] = {}  # a sample with such a warning, its words
        self.copies: dict[str, list[int]] = defaultdict(list)  # by content

    def __len__(self) -> int:
        return len(self.splits.train) + len(self.splits.held_out or ())

    def path(self, index: int) -> str:
        """Say where a sample lies; those held out are numbered after those of training."""
        train, held_out = self.splits
        if held_out is None or index < len(train):
            return train.path(index)
        return held_out.path(index - len(train))

    def label(self, index: int) -> bytes:
        """What tells the classes of a sample from those of another; empty without."""
        train, held_out = self.splits
        listing, number = (train, index) if index < len(train) else (held_out, index - len(train))
        if listing is None or listing.labels is None:
            return b""
        return listing.labels[number].numpy().tobytes()

    def add(self, index: int, report: dict[str, Any]) -> None:
        """Take in the report on a sample."""
        if "bad" in report:
            self.bad[index] = report["bad"]
            return
        size, _ = report["signature"]
        self.kinds[report["kind"]].add(report | {"bytes": size})
        if report["hash"]:
            self.copies[report["hash"]].append(index)
        for text in report["warnings"]:
            alike = re.sub(r"\d+", "N", text)
            self.warnings[alike] += 1
            self.examples[alike] = min((index, text), self.examples.get(alike, (index, text)))

    def facts(self) -> dict[str, Any]:
        """All that was found, in plain values."""
        train, held_out = self.splits
        ignored = Counter(train.ignored)
        ignored.update(held_out.ignored if held_out else {})
        return {
            "files": {"train": len(train), "held_out": len(held_out or ())},
            "ignored": dict(ignored.most_common()),
            "notes": [note for listing in self.splits if listing for note in listing.notes],
            "bad": [{"path": self.path(i), "reason": why} for i, why in sorted(self.bad.items())],
            "warnings": self._warnings(),
            "kinds": {name: kind.facts() for name, kind in sorted(self.kinds.items())},
            "labels": labels(self.splits),
            "copies": self._copies(),
        }

    def _warnings(self) -> list[dict[str, Any]]:
        """Those that differ in numbers only count as one."""
        examples = [(count, *self.examples[alike]) for alike, count in self.warnings.most_common()]
        return [
            {"warning": text, "files": count, "example": self.path(index)}
            for count, index, text in examples
        ]

    def _copies(self) -> dict[str, Any]:
        """Files of the same content: how many too many per split, and which do harm."""
        surplus, both, differ = dict.fromkeys(SPLITS, 0), [], []
        for numbers in self.copies.values():
            if len(numbers) == 1:
                continue
            train = sum(number < len(self.splits.train) for number in numbers)
            parts = dict(zip(SPLITS, (train, len(numbers) - train), strict=True))
            for name, count in parts.items():
                surplus[name] += max(count - 1, 0)
            paths = [self.path(number) for number in sorted(numbers)]
            if all(parts.values()):
                both.append(paths)
            if len({self.label(number) for number in numbers}) > 1:
                differ.append(paths)
        return {"surplus": surplus, "in both": both, "in several classes": differ}


def per_class(labels: np.ndarray, classes: int) -> np.ndarray:
    """Samples of every class, from labels (len,) or (len, classes): (classes,)."""
    return np.bincount(labels, minlength=classes) if labels.ndim == 1 else labels.sum(axis=0)


def labels(splits: Splits) -> dict[str, Any]:
    """Samples per class and split, or why there are none, and what is odd about them."""
    listings = dict(zip(SPLITS, splits, strict=True))
    classes: dict[str, dict[str, int]] = {name: {} for name in splits.train.classes}
    odd: list[str] = []
    for split, listing in listings.items():
        if listing is None or listing.labels is None:
            continue
        counts = per_class(listing.labels.numpy(), len(listing.classes)).tolist()
        for name, count in zip(listing.classes, counts, strict=True):
            classes.setdefault(name, {})[split] = count
        low, high = min(counts), max(counts)
        if sum(count > 0 for count in counts) == 1:
            odd.append(f"{split}: all samples are of one class")
        elif empty := counts.count(0):
            odd.append(f"{split}: {empty} of {len(counts)} classes have no sample")
        elif high >= UNEVEN * low:
            odd.append(f"{split}: classes have from {low} to {high} samples")
    missing = {name: listing.unlabelled for name, listing in listings.items() if listing}
    return {
        "classes": classes,
        "missing": {name: reason for name, reason in missing.items() if reason},
        "odd": odd,
    }
