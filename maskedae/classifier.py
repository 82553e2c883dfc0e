"""An encoder that answers: signals in, logits out."""

from typing import Any

from torch import Tensor, nn

from maskedae.answers import Answers
from maskedae.encoder import Encoder
from maskedae.head import Pool
from maskedae.hub import Hub


class Classifier(nn.Module, Hub):
    """An encoder with a fresh head, and what its outputs mean.

    With `batch_norm`, features are normalised over the batch: the published linear probe. With
    `keep_norm`, the head's norm starts from the encoder's last.
    """

    def __init__(
        self,
        encoder: Encoder,
        answers: Answers,
        pool: Pool = "mean",
        batch_norm: bool = False,
        dropout: float = 0.0,
        keep_norm: bool = False,
    ) -> None:
        super().__init__()
        self.encoder, self.answers = encoder, answers
        encoder.reset_classifier(answers.outputs, pool, batch_norm, dropout, keep_norm)

    def forward(self, signal: Any, noise: Tensor | None = None, visible: Any = None) -> Tensor:
        """(B, C, *size), noise of what is dropped (B, noise_size) -> (B, outputs).

        Where patches are hidden, in training, the others are `visible` (B, V).
        """
        features = self.encoder.forward_features(signal, visible, noise)
        there = self.encoder.there(signal)
        return self.encoder.forward_head(features, noise=noise, visible=visible, there=there)

    @property
    def description(self) -> dict[str, Any]:
        """What rebuilds the head: plain values, for a checkpoint."""
        head = self.encoder.head
        kept = {"pool": head.pool, "batch_norm": head.batch_norm, "dropout": head.dropout}
        return {**kept, **self.answers.plain()}

    def sections(self) -> dict[str, Any]:
        """The head."""
        return {"head": self.description}

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Which parameters belong to which layer, for timm's layer-wise decay."""
        return self.encoder.group_matcher(coarse)

    def no_weight_decay(self) -> set[str]:
        """Parameters that are not to be decayed."""
        return {f"encoder.{name}" for name in self.encoder.no_weight_decay()}
