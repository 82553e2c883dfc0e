"""Progress: a bar on a terminal, plain lines elsewhere."""

import time
from datetime import timedelta
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

EVERY = 10.0  # seconds between plain lines


def describe(facts: dict[str, str]) -> str:
    """Facts on one line: name value, name value."""
    return "  ".join(f"{name} {value}" for name, value in facts.items())


class Meter:
    """Shows how far a long work is, how it does and when it will be done."""

    def __init__(self, title: str, total: int, done: int = 0, quiet: bool = False) -> None:
        self.console = Console(quiet=quiet, highlight=False)
        self.total, self.first, self.done = total, done, done
        self.started, self.spoken = time.monotonic(), float("-inf")
        self.title, self.facts = title, ""
        self.bar: Progress | None = None
        if self.console.is_terminal and not quiet:
            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[facts]}"),
                console=self.console,
            )
            self.task = self.bar.add_task(title, total=total, completed=done, facts="")

    def __enter__(self) -> "Meter":
        if self.bar:
            self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar:
            self.bar.stop()
        elif self.facts:
            self._line()

    @property
    def eta(self) -> str:
        """Time left at the speed so far."""
        done = self.done - self.first
        if not done:
            return "?"
        left = (time.monotonic() - self.started) / done * (self.total - self.done)
        return str(timedelta(seconds=round(left)))

    def update(self, done: int, facts: dict[str, str] | None = None) -> None:
        """Tell how much is done and, now and then, how it does."""
        self.done = done
        if facts is not None:
            self.facts = describe({**facts, "ETA": self.eta})
        if self.bar:
            self.bar.update(self.task, completed=done, facts=self.facts)
        elif facts is not None and time.monotonic() - self.spoken > EVERY:
            self._line()

    def _line(self) -> None:
        self.spoken, facts, self.facts = time.monotonic(), self.facts, ""
        self.console.print(f"{self.title} {self.done}/{self.total}  {facts}", soft_wrap=True)

    def say(self, text: str) -> None:
        """Print above the bar."""
        self.console.print(text, soft_wrap=True, markup=False)
