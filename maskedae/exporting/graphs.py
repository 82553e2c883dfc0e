"""Models as graphs that run without this package: ONNX and torch.export."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from maskedae.exporting import Model, Written, difference, sample
from maskedae.hub import preprocessor, write_json
from maskedae.pairs import Pair


class Graph(nn.Module):
    """Logits, where there are any, else normalised tokens of prefix and patches."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model if model.encoder.num_classes else None
        self.encoder = model.encoder

    def forward(self, signal: Tensor) -> Tensor:
        """(B, C, *size) -> (B, outputs) or (B, prefix + N, D)."""
        return self.encoder.forward_features(signal) if self.model is None else self.model(signal)

    @property
    def output(self) -> str:
        """What comes out."""
        return "tokens" if self.model is None else "logits"


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what compilers say of their own work to themselves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def trace(model: Model, graph: Graph) -> ExportedProgram:
    """The graph for batches of any length."""
    batch, signal = torch.export.Dim("batch", min=1), sample(model)
    if isinstance(signal, Pair):
        raise ValueError("graphs take one signal: --modality=a or v writes that of one of them")
    # Strict: else len(signal) would become the number that it is here.
    with torch.no_grad():
        return torch.export.export(graph, (signal,), dynamic_shapes=({0: batch},), strict=True)


def licence(model: Model) -> dict[str, str]:
    """What goes into files that have a place for words."""
    return {"licence": model.recipe.get("licence", "")}


def export_onnx(model: Model, folder: Path, name: str | None) -> Written:
    """Write an ONNX file for batches of any length."""
    graph, path = Graph(model).eval(), folder / (name or "model.onnx")
    with quiet():
        program = torch.onnx.export(
            trace(model, graph), input_names=["signal"], output_names=[graph.output], verbose=False
        )
    assert program is not None
    program.model.metadata_props.update(licence(model))
    program.save(path)
    write_beside(model, folder)
    use = f'onnxruntime.InferenceSession("{{out}}/{path.name}").run(None, {{{{"signal": signal}}}})'
    return Written(use, "onnxruntime", partial(compare_onnx, graph, model, path.name), 1e-4)


def compare_onnx(graph: Graph, model: Model, name: str, folder: Path) -> float:
    """How far onnxruntime's numbers are from ours, with another batch than was exported."""
    from onnxruntime import InferenceSession

    session, signal = InferenceSession(folder / name), sample(model, batch=3)
    (found,) = session.run(None, {"signal": signal.numpy()})
    with torch.no_grad():
        return difference(graph(signal), torch.from_numpy(found))


def export_torch(model: Model, folder: Path, name: str | None) -> Written:
    """Write a graph of torch.export for batches of any length."""
    graph, path = Graph(model).eval(), folder / (name or "model.pt2")
    with quiet():
        torch.export.save(trace(model, graph), path, extra_files=licence(model))
    write_beside(model, folder)
    use = f'torch.export.load("{{out}}/{path.name}").module()(signal)  # {graph.output}'
    return Written(use, "torch", partial(compare_torch, graph, model, path.name))


@torch.no_grad()
def compare_torch(graph: Graph, model: Model, name: str, folder: Path) -> float:
    """How far the stored graph's numbers are from ours, with another batch than was exported."""
    signal = sample(model, batch=3)
    return difference(graph(signal), torch.export.load(folder / name).module()(signal))


def write_beside(model: Model, folder: Path) -> None:
    """Write how signals are prepared, where that is known."""
    if node := preprocessor(model.recipe):
        write_json(folder / "preprocessor_config.json", node)
