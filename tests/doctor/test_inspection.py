import os
import pickle

import numpy as np
import pytest
from PIL import Image

from maskedae.datasets import images
from maskedae.doctor.inspection import Inspector, choose, dataset_files, digest


@pytest.fixture
def inspector():
    return pickle.loads(pickle.dumps(Inspector(("images",), sums=True)))


def noise(height=40, width=30, channels=3):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_datasets_bring_their_ways():
    assert "images" in dataset_files()
    assert choose(None) == tuple(dataset_files()) and choose("images") == ("images",)
    with pytest.raises(ValueError, match="imges; did you mean images"):
        choose("imges")
    wanted = Inspector(("images",)).wanted()
    assert ".png" in wanted.extensions and wanted.sniff(b"\xff\xd8\xff") and not wanted.sniff(b"a")


@pytest.mark.parametrize("channels", [1, 3])
def test_reports_and_sums(tmp_path, inspector, channels):
    pixels, path = noise(channels=channels), str(tmp_path / "a.png")
    Image.fromarray(pixels).save(path)
    report = inspector(path)
    assert (report["kind"], report["format"], report["size"]) == ("image", "PNG", [30, 40])
    assert report["signature"][0] == os.path.getsize(path) and report["warnings"] == []
    values = np.broadcast_to(pixels.reshape(40 * 30, -1) / 255, (40 * 30, 3))
    sums = [[1200] * 3, values.sum(0), np.square(values).sum(0)]
    np.testing.assert_allclose(report["sums"], sums, rtol=1e-6)
    assert "sums" not in Inspector(("images",))(path)


def test_sums_of_many_pixels_are_exact(tmp_path, inspector):
    pixels, path = np.full((700, 300, 3), 255, np.uint8), str(tmp_path / "white.png")
    Image.fromarray(pixels).save(path)
    np.testing.assert_allclose(inspector(path)["sums"], 210000, rtol=1e-8)


def test_says_what_is_wrong(tmp_path, inspector):
    (tmp_path / "empty.png").touch()
    (tmp_path / "no_picture").write_text("hello")
    os.mkfifo(tmp_path / "pipe.png")  # must not be waited for
    reasons = {name: inspector(str(tmp_path / name))["bad"] for name in os.listdir(tmp_path)}
    assert reasons == {
        "empty.png": "empty file",
        "no_picture": "no kind of data that is known: no extension",
        "pipe.png": "not a file",
    }
    assert "signature" in inspector(str(tmp_path / "empty.png"))
    assert inspector(str(tmp_path / "gone.png")) == {"bad": "No such file or directory"}


@pytest.mark.parametrize("error", [MemoryError("1 GB"), KeyError("ours"), RecursionError("deep")])
def test_what_surprises_is_tried_again(tmp_path, inspector, monkeypatch, error):
    def inspect(path, sums):
        raise error

    Image.fromarray(noise()).save(tmp_path / "a.png")
    monkeypatch.setattr(images, "inspect", inspect)
    assert inspector(str(tmp_path / "a.png")) == {"bad": f"{type(error).__name__}: {error}"}


def test_hears_what_decoders_say(tmp_path, inspector, monkeypatch):
    def inspect(path, sums):
        os.write(2, b"corrupt!\n corrupt! \n\nreally\n" + b"\xff" * 9999)
        return {"kind": "image", "warnings": ["mine"]}

    Image.fromarray(noise()).save(tmp_path / "a.png")
    monkeypatch.setattr(images, "inspect", inspect)
    warnings = inspector(str(tmp_path / "a.png"))["warnings"]
    assert warnings[:3] == ["mine", "corrupt!", "really"] and len(str(warnings)) < 1500


def test_warns_of_extreme_aspect(tmp_path, inspector):
    Image.fromarray(noise(2, 21)).save(tmp_path / "wide.png")
    Image.fromarray(noise(20, 2)).save(tmp_path / "tall.png")
    assert "extreme aspect" in inspector(str(tmp_path / "wide.png"))["warnings"][0]
    assert inspector(str(tmp_path / "tall.png"))["warnings"] == []


def test_digest_is_that_of_the_content(tmp_path):
    for name, size in {"a": 3_000_000, "b": 3_000_000, "c": 3_000_001, "d": 10}.items():
        (tmp_path / name).write_bytes(b"x" * size)
    (heads, hashes) = zip(*(digest(str(tmp_path / name)) for name in "abcd"), strict=True)
    assert hashes[0] == hashes[1] and len(set(hashes)) == 3 and heads[3] == b"x" * 10


def test_stamp_depends_on_who_looks(monkeypatch):
    before = Inspector(("images",)).stamp()
    assert before == Inspector(("images",), sums=True).stamp()
    monkeypatch.setattr("maskedae.doctor.inspection.version", lambda name: "99")
    assert Inspector(("images",)).stamp() != before
