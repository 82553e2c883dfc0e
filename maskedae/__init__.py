"""Masked autoencoding for images, video and audio.

Shapes in docstrings use one alphabet: B batch, C channels, N patches, V visible, M hidden, K any
choice of patches, P values in a patch, D width, U mask units of L tokens each; a bare
(B, C, *size) has any number of axes.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maskedae.autoencoder import MaskedAutoencoder as MaskedAutoencoder
    from maskedae.bands import BandMasker as BandMasker
    from maskedae.masking import Mask as Mask
    from maskedae.masking import RandomMasker as RandomMasker
    from maskedae.pairs import Pair as Pair
    from maskedae.pairs import PairMasker as PairMasker
    from maskedae.tubes import SlotMasker as SlotMasker
    from maskedae.tubes import TubeMasker as TubeMasker
    from maskedae.weights import load as load
    from maskedae.zoo import create_model as create_model
    from maskedae.zoo import list_models as list_models

__version__ = "0.1.0"

HOMES = {
    "MaskedAutoencoder": "autoencoder",
    "BandMasker": "bands",
    "Mask": "masking",
    "Pair": "pairs",
    "PairMasker": "pairs",
    "RandomMasker": "masking",
    "SlotMasker": "tubes",
    "TubeMasker": "tubes",
    "create_model": "zoo",
    "list_models": "zoo",
    "load": "weights",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that the command line starts at once."""
    if name not in HOMES:
        raise AttributeError(f"module 'maskedae' has no attribute '{name}'")
    return getattr(import_module(f"maskedae.{HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *HOMES]
