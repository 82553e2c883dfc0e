"""What the outputs of a classifier mean."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from torch import Tensor

Kind = Literal["class", "classes", "value"]


def unique(names: Sequence[str]) -> tuple[str, ...]:
    """Names that can be told apart: ImageNet has two kinds of crane.

    >>> unique(["crane", "tench", "crane"])
    ('crane', 'tench', 'crane (2)')
    """
    seen = Counter[str]()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(found)


@dataclass(frozen=True)
class Answers:
    """One class of several, any number of classes, or a value."""

    kind: Kind
    classes: tuple[str, ...] = ()  # names by output; empty for a value
    mean: float = 0.0  # of the values that were learned
    std: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", unique(self.classes))

    @property
    def outputs(self) -> int:
        """Logits that a classifier returns."""
        return 1 if self.kind == "value" else len(self.classes)

    def read(self, logits: Tensor) -> Tensor:
        """Probabilities of the classes (B, classes), or values (B,), from logits (B, outputs)."""
        logits = logits.float()
        if self.kind == "value":
            return logits[:, 0] * self.std + self.mean
        return logits.softmax(dim=1) if self.kind == "class" else logits.sigmoid()

    def plain(self) -> dict[str, Any]:
        """As plain values, for a checkpoint."""
        return {**asdict(self), "classes": list(self.classes)}
