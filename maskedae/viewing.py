"""From a checkpoint and files to a picture of what the model imagines."""

from importlib import import_module
from pathlib import Path

import torch

from maskedae.data import BadSample, Data
from maskedae.evaluation import spread
from maskedae.loading import Skipped
from maskedae.masking import Masker
from maskedae.recipe import remake
from maskedae.reconstruction import imagine_row, note
from maskedae.weights import EncoderOnly, Loaded, load_with_report
from maskedae.zoo import model_file


def data_of(loaded: Loaded) -> Data:
    """The data that a checkpoint was trained on, or what its model usually sees."""
    if loaded.recipe:
        return remake(loaded.recipe).data
    module, _, name = model_file(loaded.name).DATA.rpartition(".")
    return getattr(import_module(module), name)()


def draw_reconstructions(
    checkpoint: Path,
    files: list[str],
    out: Path,
    maskers: list[Masker],
    seed: int = 0,
    most: int = 8,
    oracle: bool = False,
) -> list[Skipped]:
    """Write a picture with a row for every file; return the files that could not be read."""
    loaded = load_with_report(checkpoint)
    model, data = loaded.model, data_of(loaded)
    if isinstance(model, EncoderOnly):
        raise ValueError(model.reason)
    model.eval()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device)
    source = data.files(files, loaded.shape)
    rows, skipped = [], list[Skipped]()
    for index in spread(len(source), most):
        try:
            sample = source.read(index)
        except BadSample as reason:
            skipped.append(Skipped(source.name(index), str(reason)))
            continue
        signal = data.signal(sample.unsqueeze(0).to(device))[0]
        name = Path(source.name(index)).name
        rows.append(imagine_row(model, signal, name, maskers, seed + index, oracle))
    if not rows:
        raise ValueError(f"none of the files can be read: {skipped[0].name}: {skipped[0].reason}")
    data.draw(rows, note(model, oracle), out)
    return skipped
