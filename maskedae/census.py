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
    ends = {"min": values[0], "median": values[middle], "max": values[-1]}
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
        self.examples: dict[str, int] = {}  # of warnings: the number of a sample
        self.copies: dict[str, list[int]] = defaultdict(list)  # by content

    def __len__(self) -> int:
        return len(self.splits.train) + len(self.splits.held_out or ())

    def path(self, index: int) -> str:
        """Say where a sample lies; those held out are numbered after those of training."""
        train, held_out = self.splits
        if held_out is None or index < len(train):
            return train.path(index)
        return held_out.path(index - len(train))

    def split(self, index: int) -> str:
        """Say what a sample is for."""
        return SPLITS[index >= len(self.splits.train)]

    def label(self, index: int) -> str | None:
        """Say which class a sample belongs to."""
        train, held_out = self.splits
        inner = held_out is not None and index >= len(train)
        listing = held_out if held_out is not None and inner else train
        number = index - len(train) * inner
        return None if listing.labels is None else listing.classes[int(listing.labels[number])]

    def add(self, index: int, report: dict[str, Any]) -> None:
        """Take in the report on a sample."""
        if "bad" in report:
            self.bad[index] = report["bad"]
            return
        size, _ = report["signature"]
        self.kinds[report["kind"]].add(report | {"bytes": size})
        self.copies[report["hash"]].append(index)
        for text in report["warnings"]:
            alike = re.sub(r"\d+", "N", text)
            self.warnings[alike] += 1
            self.examples[alike] = min(index, self.examples.get(alike, index))

    def facts(self) -> dict[str, Any]:
        """All that was found, in plain values."""
        train, held_out = self.splits
        warned = [
            {"warning": text, "files": count, "for example": self.path(self.examples[text])}
            for text, count in self.warnings.most_common()
        ]
        return {
            "files": {"train": len(train), "held_out": len(held_out or ())},
            "ignored": dict(Counter(train.ignored) + Counter(held_out.ignored if held_out else {})),
            "bad": [{"path": self.path(i), "reason": why} for i, why in sorted(self.bad.items())],
            "warnings": warned,
            "kinds": {name: kind.facts() for name, kind in sorted(self.kinds.items())},
            "labels": self._labels(),
            "copies": self._copies(),
        }

    def _labels(self) -> dict[str, Any]:
        """Samples per class and split, and what is odd about them."""
        listings = {
            name: listing for name, listing in zip(SPLITS, self.splits, strict=True) if listing
        }
        counts = {
            name: np.bincount(listing.labels, minlength=len(listing.classes)).tolist()
            for name, listing in listings.items()
            if listing.labels is not None
        }
        classes = {
            name: dict(zip(counts, numbers, strict=True))
            for name, *numbers in zip(self.splits.train.classes, *counts.values(), strict=False)
        }
        reasons = {name: listing.unlabelled for name, listing in listings.items()}
        return {
            "classes": classes,
            "none because": {name: reason for name, reason in reasons.items() if reason},
        }
