"""Models as graphs that run without this package: ONNX and torch.export."""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from maskedae.exporting import Model, Written, difference, sample
from maskedae.hub import preprocessor, write_json


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


def export_onnx(model: Model, folder: Path, name: str | None) -> Written:
    """Write an ONNX file for batches of any length."""
    graph, path = Graph(model).eval(), folder / (name or "model.onnx")
    torch.onnx.export(
        graph,
        (sample(model),),
        path,
        input_names=["signal"],
        output_names=[graph.output],
        dynamic_shapes={"signal": {0: "batch"}},
        dynamo=True,
        verbose=False,
    )
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
    batch = torch.export.Dim("batch", min=1)
    shapes = ({0: batch},)
    with torch.no_grad():  # strict: else len(signal) would become the number that it is here
        program = torch.export.export(graph, (sample(model),), dynamic_shapes=shapes, strict=True)
    torch.export.save(program, path)
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
