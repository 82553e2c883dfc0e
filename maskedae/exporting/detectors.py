"""Detectors as graphs that run without this package.

torchvision's heads keep as many boxes as they find. torch.export does not follow that, so the graph
is recorded as one picture goes through.
"""

import json
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from maskedae.boxed import Found
from maskedae.detection.detector import Detector
from maskedae.exporting import Written
from maskedae.exporting.graphs import licence, quiet, write_beside

INPUTS = ["picture", "min_score"]
TOLERANCE = 1e-3  # in pixels, of boxes; scores and masks are nearer


class Looking(nn.Module):
    """A picture of the canvas's size and the least score in; boxes, labels, scores out."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, picture: Tensor, min_score: Tensor) -> tuple[Tensor, ...]:
        """(C, H, W), () -> (n, 4), (n,), (n,), and of masks (n, 28, 28), (n, 4); see `Found`."""
        roi = self.detector.roi
        usual, roi.score_thresh = roi.score_thresh, min_score
        try:
            (found,) = self.detector([picture])
        finally:
            roi.score_thresh = usual
        return tuple(part for part in found if part is not None)

    @property
    def names(self) -> list[str]:
        """What comes out."""
        return list(Found._fields if self.detector.heads.masks else Found._fields[:3])


def example(model: Detector, seed: int) -> tuple[Tensor, Tensor]:
    """A picture of chance alone, and the least of scores, so that something is found on it."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(model.encoder.shape, generator=generator), torch.tensor(0.0)


@torch.no_grad()
def export_onnx(model: Detector, folder: Path, name: str | None) -> Written:
    """Write an ONNX file that takes one picture of the canvas's size."""
    import onnx

    graph, path = Looking(model).eval(), folder / (name or "model.onnx")
    free = {name: {0: "found"} for name in graph.names}
    with quiet():
        torch.onnx.export(
            graph,
            example(model, seed=0),
            path,
            input_names=INPUTS,
            output_names=graph.names,
            dynamic_axes=free,
            dynamo=False,
        )
    program = onnx.load(path)
    onnx.helper.set_model_props(program, {**licence(model), "classes": json.dumps(model.classes)})
    onnx.save(program, path)
    write_beside(model, folder)
    given = '{{"picture": picture, "min_score": min_score}}'
    use = f'onnxruntime.InferenceSession("{{out}}/{path.name}").run(None, {given})'
    return Written(use, "onnxruntime", partial(compare_onnx, graph, path.name), TOLERANCE)


@torch.no_grad()
def compare_onnx(graph: Looking, name: str, folder: Path) -> float:
    """How far onnxruntime's numbers are from ours for another picture than was recorded."""
    from onnxruntime import InferenceSession

    given = example(graph.detector, seed=1)
    named = {name: one.numpy() for name, one in zip(INPUTS, given, strict=True)}
    found = InferenceSession(folder / name).run(None, named)
    return apart(graph(*given), tuple(map(torch.from_numpy, found)))


@torch.no_grad()
def compare_own(model: Detector, folder: Path) -> float:
    """How far what a stored detector finds is from what this one does."""
    given, other = example(model, seed=1), Detector.from_pretrained(folder)
    return apart(Looking(model)(*given), Looking(other)(*given))


def export_folder(model: Detector, folder: Path, _: str | None) -> Written:
    """Write a folder of our own, as save_pretrained does."""
    model.save_pretrained(folder)
    use = 'maskedae.load("{out}")'
    return Written(use, "maskedae", partial(compare_own, model), TOLERANCE)


def apart(ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...]) -> float:
    """The largest difference. Raises ValueError where not as much was found."""
    pairs = list(zip(ours, theirs, strict=True))
    if wrong := [(a.shape, b.shape) for a, b in pairs if a.shape != b.shape]:
        raise ValueError(f"the export finds {tuple(wrong[0][1])} where {tuple(wrong[0][0])} is")
    return max(float((a.float() - b.float()).abs().max()) for a, b in pairs if a.numel())
