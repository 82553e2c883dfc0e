"""Read every file of a folder, in parallel, and take up what an earlier check has left."""

import os
from collections.abc import Generator
from contextlib import closing
from typing import Any

from maskedae.doctor.box_census import box_facts, find_tables, size_fault, splits_of
from maskedae.doctor.census import Census
from maskedae.doctor.inspection import Inspector
from maskedae.doctor.journal import Journal
from maskedae.doctor.watchdog import Failure, Supervisor
from maskedae.labelling import SeveralLabels
from maskedae.listing import Splits, open_splits


def find(root: str, inspector: Inspector) -> Splits:
    """List the files of a root, whether each is of one class or of several."""
    wanted = inspector.wanted()
    try:
        return open_splits([root], wanted)
    except SeveralLabels:
        return open_splits([root], wanted._replace(labels="classes"))


class Checkup:
    """The files of a folder or list, and what is known of them so far."""

    def __init__(self, root: str, inspector: Inspector, keep: bool = False) -> None:
        self.root, self.inspector = os.path.abspath(os.path.expanduser(root)), inspector
        self.tables, self.note = find_tables(self.root, inspector.kinds)
        splits = splits_of(self.tables) if self.tables else find(self.root, inspector)
        self.census = Census(splits)
        self.paths = [self.census.path(index) for index in range(len(self.census))]
        self.left = list(range(len(self.paths)))  # numbers of the files that are still to be read
        self.keep, self.reports = keep, dict[int, dict[str, Any]]()  # every one, if they are kept
        self.remembered = 0  # files that an earlier check has read

    def recall(self, journal: Journal) -> None:
        """Take what an earlier check has found out about files that are still the same."""
        everything, self.left = self.left, []
        for index in everything:
            report = journal.recall(self.paths[index])
            if report is None or (self.inspector.sums and not {"sums", "bad"} & set(report)):
                self.left.append(index)
            else:
                self._add(index, report)
        self.remembered = len(everything) - len(self.left)

    def read(
        self, workers: int, limit: float, journal: Journal | None
    ) -> Generator[int, None, None]:
        """Read the files that are left; say how many are done whenever one is."""
        items = [self.paths[index] for index in self.left]
        crew = Supervisor(self.inspector, items, workers, limit, self.inspector.modules())
        with closing(iter(crew)) as results:
            for done, (number, result) in enumerate(results, self.remembered + 1):
                index = self.left[number]
                report = {"bad": result.reason} if isinstance(result, Failure) else result
                self._add(index, report)
                if journal is not None and "signature" in report:
                    journal.note(self.paths[index], report)
                yield done

    def _add(self, index: int, report: dict[str, Any]) -> None:
        if self.tables and "size" in report:
            fault = size_fault(self.tables, index, report["size"])
            report = {**report, "bad": fault} if fault else report
        self.census.add(index, report)
        if self.keep:
            self.reports[index] = report

    def facts(self) -> dict[str, Any]:
        """All that was found, in plain values."""
        facts = {
            "folder": self.root,
            "remembered": self.remembered,
            "beside": self._beside(),
            **self.census.facts(),
        }
        if self.note:
            facts["notes"] = [*facts["notes"], self.note]
        if self.tables:
            facts["boxes"] = box_facts(self.tables)
        if self.keep:
            reports = sorted(self.reports.items())
            facts["reports"] = [{"path": self.paths[i], **report} for i, report in reports]
        return facts

    def _beside(self) -> list[str]:
        """Folders next to those that are trained on and held out, which nobody reads."""
        splits = [listing for listing in self.census.splits if listing is not None]
        roots = {root for listing in splits for root in listing.roots}
        if self.tables or not os.path.isdir(self.root) or self.root in roots:
            return []
        with os.scandir(self.root) as entries:
            folders = [entry.path for entry in entries if entry.is_dir()]
        return sorted(folder for folder in folders if folder not in roots)
