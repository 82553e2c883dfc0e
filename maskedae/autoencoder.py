"""The core: encode what is visible, predict what is hidden, compare."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from maskedae.decoder import Decoder
from maskedae.encoder import Encoder
from maskedae.hub import Hub
from maskedae.masking import Mask, Masker
from maskedae.ragged import blank, sample_mean, spare, squared_error
from maskedae.targets import Target


class Output(NamedTuple):
    """What a masked autoencoder returns."""

    loss: Tensor  # scalar
    prediction: Tensor  # (B, M, P), in the order of the hidden ones of Encoder.patches
    mask: Mask
    metrics: dict[str, Tensor]  # scalars to watch beside the loss


class MaskedAutoencoder(nn.Module, Hub):
    """Learn by imagining: mean squared error on what is hidden (arXiv:2111.06377)."""

    def __init__(self, encoder: Encoder, decoder: Decoder, masker: Masker, target: Target) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.masker, self.target = masker, target
        self.undecayed: tuple[str, ...] = ()  # parameters of several axes, spared in pre-training

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
        """Split the mask units of a batch, by noise (B, noise_size) if it is given."""
        return self.masker(batch, self.encoder.grid, noise=noise, generator=generator)

    def forward(
        self,
        signal: Tensor,
        mask: Mask | None = None,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
        paths: Tensor | None = None,
    ) -> Output:
        """(B, C, *size) -> loss, prediction (B, M, P), mask.

        `paths` (B, encoder.noise_size) says which paths of the encoder are dropped, where any are.
        """
        mask = mask or self.draw_mask(len(signal), noise, generator)
        self._check(mask, len(signal))
        mask = Mask(*(index.to(signal.device) for index in mask))
        present = self.encoder.present(signal)
        whole = signal
        if present is not None:
            mask, whole = spare(mask, present), signal.nan_to_num()
        patches = self.encoder.patches(mask)
        latent = self.encoder.latent(signal, mask.visible, paths)
        prediction = self.decoder(latent, patches, present)
        target = self.target(whole, patches.hidden)
        asked = None if present is None else present.gather(1, mask.hidden)
        loss = squared_error(prediction.float(), target.float(), asked)
        return Output(loss, prediction, mask, {"baseline": patch_mean_error(target, asked)})

    def _check(self, mask: Mask, batch: int) -> None:
        shown, hidden = (index.shape for index in mask)
        units = self.noise_size
        if min(shown[1], hidden[1]) < 1 or shown[1] + hidden[1] != units:
            raise ValueError(
                f"a mask shows {shown[1]} and hides {hidden[1]}: some and some of {units} would fit"
            )
        if shown[0] != batch or hidden[0] != batch:
            raise ValueError(f"a mask for {shown[0]} samples came with {batch} of them")

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
        present = self.encoder.present(signal)
        patches = self.encoder.patches(mask)
        latent = self.encoder.latent(signal, mask.visible)
        imagined = blank(self.decoder.imagine(latent, patches, present).float(), present)
        return self.target.restore(imagined, signal, patches, oracle)


def patch_mean_error(target: Tensor, asked: Tensor | None = None) -> Tensor:
    """The loss of predicting nothing but the mean of every hidden patch: (B, M, P) -> scalar."""
    variance = target.float().var(dim=-1, correction=0)
    return variance.mean() if asked is None else sample_mean(variance, asked)
