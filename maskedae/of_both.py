"""What models of sound and picture have in common: sizes of both, and which of them they take."""

from typing import Any

MODALITIES = ("av", "a", "v")


class OfBoth:
    """Numbers of a model of sound and picture, or of one of them; a dataclass has the fields."""

    audio_size: tuple[int, ...]
    audio_patch: tuple[int, ...]
    video_size: tuple[int, ...]
    video_patch: tuple[int, ...]
    channels: int
    modality: Any

    def __post_init__(self) -> None:
        for name in ("audio_size", "audio_patch", "video_size", "video_patch"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.modality not in MODALITIES:
            fits = ", ".join(MODALITIES)
            raise ValueError(f"no modality is called {self.modality}; {fits} would fit")

    @property
    def size(self) -> Any:
        """Values along every axis of the signal, or of both."""
        audio, video = self.audio_size, self.video_size
        return {"a": audio, "v": video}.get(self.modality, (audio, video))

    @property
    def shape(self) -> Any:
        """What the model takes, without the batch: (1, T, F), (C, T, H, W) or both."""
        audio, video = (1, *self.audio_size), (self.channels, *self.video_size)
        return {"a": audio, "v": video}.get(self.modality, (audio, video))


def is_part(config: OfBoth, whole: OfBoth) -> bool:
    """Whether a model takes one of what another takes both of.

    Raises ValueError where they take different things otherwise.
    """
    if whole.modality not in ("av", config.modality):
        raise ValueError(f"a file of modality {whole.modality} cannot serve {config.modality}")
    return whole.modality != config.modality


def fitting(whole: OfBoth, config: Any) -> dict[str, Any]:
    """Settings by which a file of both is loaded for a model that takes one of them."""
    modality = getattr(config, "modality", "av")
    return {"modality": modality} if whole.modality == "av" and modality != "av" else {}
