"""The core: encode what is visible, predict what is hidden, compare."""

import torch
from torch import Tensor

from maskedae.decoder import Decoder
from maskedae.encoder import Encoder
from maskedae.learner import Imagined, Learner, Output
from maskedae.masking import Mask, Masker
from maskedae.ragged import blank, sample_mean, spare, squared_error
from maskedae.targets import Target


class MaskedAutoencoder(Learner):
    """Learn by imagining: mean squared error on what is hidden (arXiv:2111.06377)."""

    def __init__(self, encoder: Encoder, decoder: Decoder, masker: Masker, target: Target) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.masker, self.target = masker, target

    @property
    def noise_size(self) -> int:
        """How many random numbers the mask of one sample takes."""
        return torch.Size(self.encoder.grid).numel()

    @property
    def needs_statistics(self) -> bool:
        """Whether predictions lack the mean and deviation of their patch."""
        return self.target.needs_statistics

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

        `paths` (B, paths_size) says which paths of the encoder are dropped, where any are.
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

    def imagine(self, signal: Tensor, mask: Mask, oracle: bool = False) -> Tensor:
        """Draw every patch as the model imagines it: (B, C, *size) -> (B, N, P).

        Hidden values of the signal are not used, unless `oracle` lends their mean and deviation.
        """
        present = self.encoder.present(signal)
        patches = self.encoder.patches(mask)
        latent = self.encoder.latent(signal, mask.visible)
        imagined = blank(self.decoder.imagine(latent, patches, present).float(), present)
        return self.target.restore(imagined, signal, patches, oracle)

    @torch.no_grad()
    def picture(
        self, signal: Tensor, masker: Masker, noise: Tensor, oracle: bool = False
    ) -> Imagined:
        """How one sample (1, C, *size) looks behind a mask; the noise is (1, noise_size)."""
        encoder = self.encoder
        mask = masker(1, encoder.grid, noise=noise)
        mask = encoder.settle(Mask(*(index.to(signal.device) for index in mask)), signal)
        masked = encoder.hide(signal, mask)
        imagined = encoder.whole(self.imagine(signal, mask, oracle))
        whole = torch.where(masked.isnan(), imagined, signal)
        share, loss = encoder.share_hidden(mask, signal), self(signal, mask).loss.item()
        predicted = ~imagined[0].isnan().movedim(1, 0).flatten(1).all(dim=1)
        return Imagined(masked, imagined, whole, share, loss, predicted)


def patch_mean_error(target: Tensor, asked: Tensor | None = None) -> Tensor:
    """The loss of predicting nothing but the mean of every hidden patch: (B, M, P) -> scalar."""
    variance = target.float().var(dim=-1, correction=0)
    return variance.mean() if asked is None else sample_mean(variance, asked)
