"""The core: encode what is visible, predict what is hidden, compare."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskedae.decoder import Decoder
from maskedae.encoder import Encoder
from maskedae.hub import Hub
from maskedae.masking import Mask, Masker
from maskedae.targets import Target


class Output(NamedTuple):
    """What a masked autoencoder returns."""

    loss: Tensor  # scalar
    prediction: Tensor  # (B, M, P), in the order of mask.hidden
    mask: Mask
    metrics: dict[str, Tensor]  # scalars to watch beside the loss


class MaskedAutoencoder(nn.Module, Hub):
    """Learn by imagining: mean squared error on what is hidden (arXiv:2111.06377)."""

    def __init__(self, encoder: Encoder, decoder: Decoder, masker: Masker, target: Target) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.masker, self.target = masker, target

    @property
    def noise_size(self) -> int:
        """How many random numbers the mask of one sample takes."""
        return torch.Size(self.encoder.grid).numel()

    def draw_mask(
        self,
        batch: int,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Mask:
        """Split the patches of a batch, by noise (B, noise_size) if it is given."""
        return self.masker(batch, self.encoder.grid, noise=noise, generator=generator)

    def forward(
        self,
        signal: Tensor,
        mask: Mask | None = None,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Output:
        """(B, C, *size) -> loss, prediction (B, M, P), mask."""
        mask = mask or self.draw_mask(len(signal), noise, generator)
        mask = Mask(*(index.to(signal.device) for index in mask))
        prediction = self.decoder(self.encoder.forward_features(signal, mask.visible), mask)
        target = self.target(signal, mask.hidden)
        loss = F.mse_loss(prediction.float(), target.float())
        return Output(loss, prediction, mask, {"baseline": patch_mean_error(target)})

    def sections(self) -> dict[str, Any]:
        """The masker, if plain values describe it."""
        kind, settings = type(self.masker), getattr(self.masker, "__dict__", {})
        if any(isinstance(value, Tensor) for value in settings.values()):
            return {}
        path = f"{kind.__module__}.{kind.__qualname__}"
        return {"masker": {"class_path": path, "init_args": dict(settings)}}

    def imagine(self, signal: Tensor, mask: Mask, oracle: bool = False) -> Tensor:
        """Draw every patch as the model imagines it: (B, C, *size) -> (B, N, P).

        Hidden values of the signal are not used, unless `oracle` lends their mean and deviation.
        """
        latent = self.encoder.forward_features(signal, mask.visible)
        imagined = self.decoder.imagine(latent, mask).float()
        return self.target.restore(imagined, signal, mask, oracle)


def patch_mean_error(target: Tensor) -> Tensor:
    """The loss of predicting nothing but the mean of every hidden patch: (B, M, P) -> scalar."""
    return target.float().var(dim=-1, correction=0).mean()
