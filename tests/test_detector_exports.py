"""Detectors for other runtimes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from maskedae.detection.detector import Detector
from maskedae.exporting.running import export
from maskedae.settings import Heads
from maskedae.zoo import create_model

EXTRA = "an extra, which the tests install: pip install 'maskedae[onnx]'"
PLAIN = {"size": (64, 96), "patch": (8, 8), "width": 48, "depth": 4, "heads": 4}
KINDS = {"plain": ("mae_vit_tiny_patch16", PLAIN), "stages": ("hiera_tiny_224", {"size": (64, 96)})}


def make(kind: str, masks: bool) -> Detector:
    torch.manual_seed(0)
    name, config = KINDS[kind]
    small = {"channels": 16, "box_width": 24, "box_convs": 1, "mask_convs": 1, "most": 20}
    small["proposals"] = 100
    heads = Heads(masks=masks, window=5, wide=[1, 3], **small)
    return Detector(create_model(name, **config).encoder, ("cat", "dog"), heads).eval()


@pytest.mark.parametrize(("kind", "masks"), [("plain", True), ("stages", False)])
def test_onnxruntime_finds_the_same(kind: str, masks: bool, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason=EXTRA)
    pytest.importorskip("onnx", reason=EXTRA)
    detector, path = make(kind, masks), tmp_path / "found.onnx"
    apart = export(detector, "onnx", path)
    assert apart is not None and apart < 1e-3
    session = runtime.InferenceSession(path)
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["classes"]) == ["cat", "dog"]
    picture = torch.rand(3, 64, 96)
    with torch.no_grad():
        for least in (0.05, 0.34, 1.0):  # all, some, none
            detector.roi.score_thresh = least
            (wanted,) = detector([picture])
            given = {"picture": picture.numpy(), "min_score": np.array(least, np.float32)}
            found = session.run(None, given)
            assert found[0].shape == wanted.boxes.shape
            assert len(found) == (5 if masks else 3)
            np.testing.assert_allclose(found[0], wanted.boxes, atol=1e-3)
            np.testing.assert_allclose(found[2], wanted.scores, atol=1e-5)
    with pytest.raises(ValueError, match="exists"):
        export(detector, "onnx", path)


def test_own_folder_and_what_torchvision_cannot_do(tmp_path: Path) -> None:
    detector = make("plain", masks=False)
    assert export(detector, "safetensors", tmp_path / "own") == 0
    for target in ("torch", "timm"):
        with pytest.raises(ValueError, match="nothing of a detector is written for"):
            export(detector, target, tmp_path / target)
