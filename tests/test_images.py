import csv
import os
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch.utils.data import default_collate
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from maskedae.data import BadSample, Panel
from maskedae.datasets.images import EXTENSIONS, Images, inspect

DATA = Path(__file__).parents[2] / "shared" / "data"
BAD = DATA / "bad_inputs"
PHOTOS = DATA / "images_photo"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no test data at {DATA}")
BOMBS = {"images/bomb_30000x30000.png", "images/bomb_12000x12000.png"}


def manifest(folder):
    if not DATA.is_dir():
        return []
    with open(BAD / "manifest.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [(row["file"], row["expected"]) for row in rows if row["file"].startswith(folder)]


def photo(height=96, width=128):
    """A smooth picture, all of whose corners differ."""
    down, across = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    rgb = np.stack([down, across, (down - across) / 2 + 0.5], axis=-1)
    return Image.fromarray((rgb * 255).astype(np.uint8))


def read(path, shape=None, data=None):
    """Read one file as it is: where no shape is given, without a resize."""
    if shape is None:
        with Image.open(path) as image:
            width, height = ImageOps.exif_transpose(image).size
        shape = (3, height, width)
    return (data or Images(eval_crop=1.0)).files([str(path)], shape).read(0)[0]


def tensor(image):
    return torch.from_numpy(np.array(image.convert("RGB"))).movedim(-1, 0)


def difference(a, b):
    return (a.int() - b.int()).abs().max().item()


# --- what is read, and what is refused ------------------------------------------------------


@needs_data
@pytest.mark.parametrize(("name", "expected"), manifest("images/"))
def test_manifest(name, expected):
    if name in BOMBS:
        pytest.skip("read by test_bombs_stay_small, in a process of its own")
    path = str(BAD / name)
    for size in [(3, 64, 64), (1, 48, 96), (4, 32, 32)]:
        for augment in (False, True):
            source = Images(root=os.path.dirname(path)).source("train", size, augment)
            index = [source.name(i) for i in range(len(source))].index(path)
            try:
                pixels = source.read(index)[0]
            except BadSample as reason:
                assert expected not in ("ok", "warn")
                assert 5 < len(str(reason)) < 150 and "\n" not in str(reason)
            else:
                assert expected not in ("fail", "reject")
                assert pixels.shape == size and pixels.dtype == torch.uint8


@needs_data
def test_manifest_is_all_there():
    assert len(manifest("images/")) == 39 and len(manifest("names/")) == 23
    assert {name for name, _ in manifest("images/")} > BOMBS


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    with tarfile.open(BAD / "names.tar") as archive:
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(folder, **safely)
    return folder


@needs_data
def test_names(named):
    source = Images(root=str(named)).source("train", (3, 32, 32), augment=False)
    found = {os.path.relpath(source.name(i), named): i for i in range(len(source))}
    expected = dict(manifest("names/"))
    assert set(found) == {name for name, kind in expected.items() if kind == "ok"}
    assert all(source.read(index).shape == (1, 3, 32, 32) for index in found.values())


@needs_data
@pytest.mark.parametrize("name", sorted(BOMBS))
def test_bombs_stay_small(name):
    # The picture that is allowed has 144 million pixels: ten bytes for each, not hundreds.
    code = """
import resource, sys
import torch
from maskedae.data import BadSample
from maskedae.datasets.images import Images
torch.set_num_threads(1)
source = Images().files(sys.argv[1:], (3, 64, 64))
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before = peak()
try:
    print("ok", tuple(source.read(0)[0].shape), end=" ")
except BadSample as reason:
    print("refused", end=" ")
print(peak() - before)
"""
    command = [sys.executable, "-c", code, str(BAD / name)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    *said, peak = result.stdout.split()
    if "30000" in name:
        assert said == ["refused"] and int(peak) < 50
    else:
        assert said[0] == "ok" and int(peak) < 2000
        assert "DecompressionBombWarning" in result.stderr


def test_headers_that_promise_too_much_are_refused(tmp_path):
    photo().save(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[16:24] = struct.pack(">II", 100_000, 100_000)
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(BadSample, match=r"too many pixels|broken"):
        read(tmp_path / "a.png", (3, 8, 8))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"<!DOCTYPE html>\n<html>", "text, not a picture: '<!DOCTYPE html> <html>'"),
        (b"\0\1\2\3" * 9, "not a picture"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 9, "broken header"),
    ],
)
def test_reasons(tmp_path, content, reason):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(BadSample, match=f"^{reason}$"):
        read(tmp_path / "a.jpg", (3, 8, 8))


def test_files_that_vanish_or_are_none(tmp_path):
    (tmp_path / "list.txt").write_text("gone.jpg\nfolder\npipe\nnul\0byte.jpg\n")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    source = Images(root=str(tmp_path / "list.txt")).source("train", (3, 8, 8), augment=True)
    for index, reason in enumerate(["No such file", "not a file", "not a file", "null byte"]):
        with pytest.raises(BadSample, match=reason):
            source.read(index)


@pytest.mark.filterwarnings("ignore:.*[Tt]ag data|Corrupt EXIF|Truncated File")
@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif", "gif"])
def test_broken_files_are_bad_samples(tmp_path, kind):
    path, generator = tmp_path / f"a.{kind}", np.random.default_rng(0)
    photo(24, 32).save(path)
    whole = path.read_bytes()
    outcomes = set()
    for _ in range(60):
        data = bytearray(whole)
        for place in generator.integers(len(data), size=3):
            data[place] = generator.integers(256)
        path.write_bytes(data[: generator.integers(1, len(data) * 2)])
        try:
            outcomes.add(read(path, (3, 8, 8)).shape)
        except BadSample:
            outcomes.add("bad")
    assert outcomes == {(3, 8, 8), "bad"}


def test_a_truncated_jpeg_is_named_so(tmp_path):
    photo().save(tmp_path / "a.jpg")
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadSample, match="^image file is truncated"):
        read(tmp_path / "a.jpg", (3, 8, 8))


# --- pixels -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["jpg", "png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_as_the_camera_meant_it(tmp_path, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo().save(tmp_path / f"a.{kind}", exif=exif, quality=95, subsampling=0)
    with Image.open(tmp_path / f"a.{kind}") as image:
        wanted = tensor(ImageOps.exif_transpose(image))
    assert difference(read(tmp_path / f"a.{kind}"), wanted) <= 2


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "CMYK", "1"])
def test_modes_agree_with_pillow(tmp_path, mode):
    image = photo().convert(mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(photo().convert("L"))
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    image.save(path, **({"quality": 95} if mode == "CMYK" else {}))
    with Image.open(path) as stored:
        assert stored.mode == mode
        wanted = tensor(stored)
    assert difference(read(path), wanted) <= 2


@needs_data
@pytest.mark.parametrize("name", ["cmyk.jpg", "gray.jpg", "progressive.jpg", "exif_corrupt.jpg"])
def test_stored_jpegs_agree_with_pillow(name):
    with Image.open(BAD / "images" / name) as image:
        assert difference(read(BAD / "images" / name), tensor(image)) <= 3


@pytest.mark.filterwarnings("error")
def test_palettes_keep_their_colours_where_they_are_transparent(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([17, 34, 51, 68, 85, 102])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.png", transparency=bytes([0, 128]))
    assert read(tmp_path / "a.png").tolist() == [[[17, 68]], [[34, 85]], [[51, 102]]]
    rgba = read(tmp_path / "a.png", (4, 1, 2))
    assert rgba[3].tolist() == [[0, 128]]


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_sixteen_bits_are_scaled(tmp_path, kind):
    ramp = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    Image.fromarray(ramp).save(tmp_path / f"a.{kind}")
    for channels in (1, 3, 4):
        pixels = read(tmp_path / f"a.{kind}", (channels, 16, 16))
        assert (pixels[0].numpy() == ramp // 257).all()


@needs_data
def test_sixteen_bits_of_colour_are_not_clipped():
    eight = tensor(Image.open(BAD / "images" / "progressive.jpg")).float()
    sixteen = read(BAD / "images" / "rgb16.png").float()
    assert eight.shape == sixteen.shape and (eight - sixteen).abs().mean() < 4


def test_float_pixels(tmp_path):
    ramp = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "a.tif")
    assert (read(tmp_path / "a.tif")[0].numpy().ravel() == np.arange(256)).all()
    for values in (ramp * 255, ramp - 1, np.full_like(ramp, np.nan)):
        Image.fromarray(values).save(tmp_path / "a.tif")
        with pytest.raises(BadSample, match=r"scale them to 0\.\.1"):
            read(tmp_path / "a.tif", (3, 16, 16))


def test_first_frame_of_an_animation(tmp_path):
    for kind in ("gif", "webp", "png"):
        frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
        path = tmp_path / f"a.{kind}"
        frames[0].save(path, save_all=True, append_images=frames[1:])
        assert difference(read(path), tensor(frames[0])) <= 8


def test_channels(tmp_path):
    image = photo()
    image.putalpha(photo().convert("L"))
    image.save(tmp_path / "a.png")
    gray, rgba = (read(tmp_path / "a.png", (channels, 96, 128)) for channels in (1, 4))
    with Image.open(tmp_path / "a.png") as stored:
        assert difference(gray, torch.from_numpy(np.array(stored.convert("L")))[None]) <= 1
        assert torch.equal(rgba, torch.from_numpy(np.array(stored)).movedim(-1, 0))
    photo().save(tmp_path / "a.jpg", quality=95)
    gray = read(tmp_path / "a.jpg", (1, 96, 128))
    assert difference(gray, torch.from_numpy(np.array(photo().convert("L")))[None]) <= 4
    assert read(tmp_path / "a.jpg", (4, 96, 128))[3].eq(255).all()


@pytest.mark.parametrize("shape", [(2, 8, 8), (5, 8, 8), (3, 8), (3, 4, 8, 8)])
def test_shapes_that_no_picture_has(shape):
    with pytest.raises(ValueError, match="1, 3 or 4 channels"):
        Images().files([__file__], shape)


# --- crops ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(500, 375), (333, 500), (224, 224), (60, 1000), (3, 5)])
def test_square_crops_are_the_usual_ones(tmp_path, size):
    photo(*size).save(tmp_path / "a.png")
    usual = v2.Compose(
        [
            v2.Resize(256, v2.InterpolationMode.BICUBIC, antialias=True),
            v2.CenterCrop(224),
        ]
    )
    wanted = usual(tensor(photo(*size)))
    # Only strips differ: of those the ends are cut off first, to a whole pixel.
    bound = 0 if max(size) <= 2 * min(size) else 9
    assert difference(read(tmp_path / "a.png", (3, 224, 224), Images()), wanted) <= bound


@pytest.mark.parametrize("size", [(64, 128), (128, 64), (16, 224)])
def test_crops_of_any_shape_are_central_and_undistorted(tmp_path, size):
    # A disc in the middle stays a disc in the middle.
    down, across = np.mgrid[-200:200, -300:300]
    disc = ((down**2 + across**2) < 60**2) * np.uint8(255)
    Image.fromarray(disc).save(tmp_path / "a.png")
    pixels = read(tmp_path / "a.png", (1, *size), Images())[0] > 127
    scale = max(size[0] / 0.875 / 400, size[1] / 0.875 / 600)
    assert pixels.shape == size
    for length, side in zip((pixels.any(1), pixels.any(0)), size, strict=True):
        assert abs(length.sum() - min(side, 120 * scale)) <= 2
        places = length.nonzero().float()
        assert abs(places.mean() - (side - 1) / 2) <= 1


def test_strips_cost_no_memory(tmp_path, monkeypatch):
    sizes, resize = [], functional.resize

    def spy(image, size, *options, **more):
        sizes.append(size)
        return resize(image, size, *options, **more)

    monkeypatch.setattr(functional, "resize", spy)
    for size in [(20_000, 1), (1, 20_000)]:
        Image.new("L", size, 7).save(tmp_path / "a.png")
        assert read(tmp_path / "a.png", (1, 224, 224), Images()).eq(7).all()
    assert sizes == [[256, 512], [512, 256]]


def test_augmentation_is_owned_by_the_seed(tmp_path):
    photo().save(tmp_path / "a.jpg")
    source = Images(root=str(tmp_path)).source("train", (3, 32, 32), augment=True)

    def draw(seed):
        torch.manual_seed(seed)
        return source.read(0)[0]

    assert torch.equal(draw(0), draw(0))
    assert len({draw(seed).numpy().tobytes() for seed in range(10)}) == 10


def test_without_augmentation_nothing_is_drawn(tmp_path):
    photo().save(tmp_path / "a.jpg")
    source = Images(root=str(tmp_path)).source("train", (3, 32, 32), augment=False)
    state = torch.get_rng_state()
    assert torch.equal(source.read(0), source.read(0))
    assert torch.equal(state, torch.get_rng_state())


def test_flip_and_scale_are_obeyed(tmp_path):
    photo(64, 64).save(tmp_path / "a.png")

    def draw(**options):
        data = Images(root=str(tmp_path), ratio=(1, 1), **options)
        return data.source("train", (3, 64, 64), augment=True).read(0)[0]

    whole = tensor(photo(64, 64))
    assert torch.equal(draw(scale=(1, 1), flip=0.0), whole)
    assert torch.equal(draw(scale=(1, 1), flip=1.0), whole.flip(-1))
    red = draw(scale=(0.05, 0.05), flip=0.0)[0]
    assert int(red.max()) - int(red.min()) < 255 * 0.3


# --- the Data protocol ------------------------------------------------------------------------


def test_root_is_asked_for():
    with pytest.raises(ValueError, match=r"--data\.root DIR"):
        Images().source("train", (3, 8, 8), augment=True)


def test_splits(tmp_path):
    for name in ("train/a/1", "train/b/2", "train/b/3", "val/b/4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        photo(8, 8).save(tmp_path / f"{name}.png")
    data = Images(root=str(tmp_path))
    train, held_out = (data.source(split, (3, 8, 8), False) for split in ("train", "held_out"))
    assert train.classes == held_out.classes == ("a", "b")
    assert (train.labels.tolist(), held_out.labels.tolist()) == ([0, 1, 1], [1])
    assert (len(train), train.shares, len(held_out)) == (3, [(3, 3.0)], 1)
    flat = Images(root=str(tmp_path / "train" / "b"))
    assert flat.source("held_out", (3, 8, 8), False) is None


def test_default_statistics_are_those_of_imagenet():
    batch = torch.randint(256, (2, 3, 4, 4), dtype=torch.uint8)
    usual = v2.Compose(
        [
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    torch.testing.assert_close(Images().signal(batch), usual(batch))
    for channels in (1, 4):
        signal = Images().signal(torch.full((1, channels, 2, 2), 255, dtype=torch.uint8))
        torch.testing.assert_close(signal, torch.full_like(signal, (1 - 0.449) / 0.226))


def test_signal_keeps_precision_and_leaves_the_batch_alone():
    batch = torch.randint(256, (2, 3, 4, 4)).double()
    before = batch.clone()
    signal = Images(mean=[0.5], std=[0.25]).signal(batch)
    assert signal.dtype == torch.float64 and torch.equal(batch, before)
    torch.testing.assert_close(signal, (before / 255 - 0.5) / 0.25)


@pytest.mark.parametrize("name", ["mean", "std"])
def test_statistics_must_fit(name):
    with pytest.raises(ValueError, match=f"{name} has 2 values for 3 channels"):
        Images(**{name: [0.1, 0.2]}).signal(torch.zeros(1, 3, 2, 2).byte())


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_drawing_undoes_the_normalisation(tmp_path, channels):
    data = Images(mean=[0.3], std=[0.2])
    batch = torch.randint(256, (1, channels, 160, 160), dtype=torch.uint8)
    signal = data.signal(batch)[0]
    assert torch.equal(data.colours.pixels(signal), batch[0])
    signal[:, :10] = float("nan")
    signal[:, 10:20], signal[:, 20:30] = 1e6, -1e6
    assert data.colours.pixels(signal)[0, :30:10, 0].tolist() == [128, 255, 0]
    data.draw([[Panel("masked", signal)]], "a note", tmp_path / "new" / "figure.png")
    with Image.open(tmp_path / "new" / "figure.png") as figure:
        assert figure.format == "PNG" and figure.width > 160 and figure.height > 160


def test_named_files_and_folders(tmp_path):
    photo().save(tmp_path / "odd name.xyz", format="png")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="found nothing at all"):
        Images().files([str(tmp_path / "folder")], (3, 8, 8))
    photo().save(tmp_path / "folder" / "a.png")
    paths = [str(tmp_path / "odd name.xyz"), str(tmp_path / "folder")]
    source = Images().files(paths, (3, 8, 8))
    assert [source.name(i) for i in range(2)] == [paths[0], f"{paths[1]}/a.png"]
    assert torch.equal(source.read(0), source.read(1))
    with pytest.raises(FileNotFoundError, match=r"missing\.png"):
        Images().files([str(tmp_path / "missing.png")], (3, 8, 8))


def test_inspect(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    photo().save(tmp_path / "a.png", format="jpeg", exif=exif)
    assert inspect(str(tmp_path / "a.png")) == {
        "kind": "image",
        "format": "JPEG",
        "mode": "RGB",
        "size": [96, 128],
        "warnings": [],
    }
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:-100])
    with pytest.raises(BadSample, match="truncated"):
        inspect(str(tmp_path / "a.png"))


def test_every_extension_can_be_read(tmp_path):
    Image.init()
    for extension in EXTENSIONS - {".mpo"}:
        photo(16, 16).save(tmp_path / f"a{extension}")
    source = Images(root=str(tmp_path)).source("train", (3, 16, 16), augment=False)
    assert len(source) == len(EXTENSIONS) - 1
    assert all(source.read(index).float().std() > 30 for index in range(len(source)))


@needs_data
@pytest.mark.filterwarnings("error")
def test_photos_in_a_worker():
    source = Images(root=str(PHOTOS)).source("held_out", (3, 32, 32), augment=True)
    assert len(source) == 150 and len(source.classes) == 10
    with torch.multiprocessing.get_context("spawn").Pool(1) as pool:
        batch = default_collate(pool.map(source.read, range(8)))
    assert batch.shape == (8, 1, 3, 32, 32) and batch.is_contiguous()
    assert inspect(source.name(0))["warnings"] == []
