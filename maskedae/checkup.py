"""Read every file of a folder, in parallel, and take up what an earlier check has left."""

import os
from collections.abc import Generator
from contextlib import closing
from typing import Any

from maskedae.census import Census
from maskedae.inspection import Inspector
from maskedae.journal import Journal
from maskedae.listing import open_splits
from maskedae.watchdog import Failure, Supervisor

Reports = Generator[tuple[int, dict[str, Any]], None, None]


class Checkup:
    """The files of a folder or list, and what is known of them so far."""

    def __init__(self, root: str, inspector: Inspector) -> None:
        self.root, self.inspector = os.path.abspath(os.path.expanduser(root)), inspector
        self.census = Census(open_splits([self.root], inspector.wanted()))
        self.paths = [self.census.path(index) for index in range(len(self.census))]
        self.remembered = 0  # files that an earlier check has read

    def run(self, workers: int, limit: float, fresh: bool) -> Reports:
        """Number of every file and the report on it, first those of an earlier check."""
        with Journal(self.root, self.inspector.stamp(), fresh) as journal:
            for index, report in self._all(journal, workers, limit):
                self.census.add(index, report)
                yield index, report

    def _all(self, journal: Journal, workers: int, limit: float) -> Reports:
        left: list[int] = []
        for index, path in enumerate(self.paths):
            report = journal.recall(path)
            if report is None or (self.inspector.sums and not {"sums", "bad"} & set(report)):
                left.append(index)
                continue
            self.remembered += 1
            yield index, report
        items = [self.paths[index] for index in left]
        crew = Supervisor(self.inspector, items, workers, limit, self.inspector.modules())
        with closing(iter(crew)) as results:
            for number, result in results:
                index = left[number]
                report = {"bad": result.reason} if isinstance(result, Failure) else result
                if "signature" in report:
                    journal.note(self.paths[index], report)
                yield index, report

    def facts(self) -> dict[str, Any]:
        """All that was found, in plain values."""
        return {
            "folder": self.root,
            "from an earlier check": self.remembered,
            "beside": self._beside(),
            **self.census.facts(),
        }

    def _beside(self) -> list[str]:
        """Folders that lie next to the one that is trained on, and are not read."""
        roots = {
            root for listing in self.census.splits if listing is not None for root in listing.roots
        }
        if not os.path.isdir(self.root) or self.root in roots:
            return []
        with os.scandir(self.root) as entries:
            folders = [entry.path for entry in entries if entry.is_dir()]
        return sorted(folder for folder in folders if folder not in roots)
