"""Every command on a hierarchical encoder, of pictures and of films, as a user types it."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

import maskedae
from maskedae import create_model
from maskedae.cli import main
from maskedae.datasets.films.films import open_film
from maskedae.datasets.films.writing import write_film
from maskedae.recipe import find_recipe

TINY = ["--model.width=8", "--model.heads=1", "--model.stages=[1, 1, 2, 1]"]
TINY += ["--model.decoder_width=16", "--model.decoder_depth=1", "--model.decoder_heads=2"]
PICTURE = [*TINY, "--model.size=[48, 32]", "--model.kernel=[3, 3]", "--model.stride=[2, 2]"]
FILM = [*TINY, "--model.size=[4, 48, 32]", "--model.kernel=[3, 3, 3]", "--model.stride=[2, 2, 2]"]
FILM += ["--masker.ratio=0.75"]
BRIEF = ["--train.epochs=2", "--train.warmup_epochs=1", "--train.batch_size=4"]
BRIEF += ["--train.workers=0", "--train.trackers=[]"]
WIDTHS, GRIDS = (8, 16, 32, 64), ((24, 16), (12, 8), (6, 4), (6, 4))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Pictures and films of two kinds, darker and brighter, and models trained on them."""
    folder = tmp_path_factory.mktemp("place")
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 3)):
        for label, shade in (("dark", 60), ("light", 200)):
            for number in range(count):
                film = rng.normal(shade, 20, (12, 52, 36, 3)).clip(0, 255).astype(np.uint8)
                write_film(folder / "films" / split / label / f"{number}.mp4", film, 10.0)
                picture = folder / "pictures" / split / label / f"{number}.png"
                picture.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(film[0]).save(picture)
    for kind, recipe, tiny in (
        ("pictures", "hiera_tiny_32px", PICTURE),
        ("films", "hiera_tiny_64px", FILM),
    ):
        run = ["--data.root", str(folder / kind), "--out", str(folder / f"run_{kind}")]
        drop = ["--train.drop_path=0.2"]
        assert main(["pretrain", recipe, *run, *tiny, *BRIEF, *drop]) == 0
    return folder


@pytest.fixture(scope="module")
def tuned(place):
    """Classifiers that went on from the pre-trained models, with no more said than for any."""
    for kind, recipe in (("pictures", "finetune_small_folder"), ("films", "finetune_small_films")):
        command = ["finetune", recipe, "--init", str(place / f"run_{kind}")]
        command += ["--data.root", str(place / kind), "--out", str(place / f"tuned_{kind}")]
        assert main([*command, *BRIEF]) == 0
    return place


def rows(run):
    """Lines of metrics.jsonl."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", ["pictures", "films"])
def test_pretraining(place, kind):
    run = place / f"run_{kind}"
    endings = (".mp4", ".png") if kind == "films" else (".png",)
    drawn = [f"epoch-{epoch:04d}{ending}" for epoch in (0, 2) for ending in endings]
    assert sorted(path.name for path in (run / "pictures").iterdir()) == drawn
    assert all(np.isfinite(row["loss"]) for row in rows(run) if "loss" in row)
    assert any("knn" in row for row in rows(run))
    model = maskedae.load(run)
    assert model.encoder.grid[-2:] == (3, 2) and model.encoder.pools == 2


def test_pictures_are_reconstructed(place, tmp_path):
    out = tmp_path / "grid.png"
    files = [str(place / "pictures/val"), "--most", "2", "--out", str(out)]
    assert main(["reconstruct", str(place / "run_pictures"), *files]) == 0
    with Image.open(out) as several:
        wide = several.width
    assert main(["reconstruct", str(place / "run_pictures"), *files, "--mask_ratio", "0.5"]) == 0
    with Image.open(out) as one:
        assert one.width < wide


def test_films_are_reconstructed(place, tmp_path):
    out = tmp_path / "grid.mp4"
    files = [str(place / "films/val/dark"), "--most", "2", "--out", str(out)]
    assert main(["reconstruct", str(place / "run_films"), *files]) == 0
    assert len(open_film(str(out), "pyav").times) == 2  # of every two frames, one is imagined


def test_every_scale_is_embedded(place, tmp_path):
    out, root = tmp_path / "features.parquet", ["--data.root", str(place / "pictures")]
    command = ["embed", str(place / "run_pictures"), *root, "--out", str(out)]
    assert main([*command, "--pool", "mean", "patches"]) == 0
    table = pq.read_table(out)
    for stage, (width, grid) in enumerate(zip(WIDTHS, GRIDS, strict=True)):
        mean, patches = (
            np.array(table.column(f"stage{stage}_{how}").to_pylist()) for how in ("mean", "patches")
        )
        assert mean.shape == (18, width)
        each = patches.reshape(18, grid[0] * grid[1], width)
        assert_close(torch.tensor(each.mean(1)), torch.tensor(mean), rtol=1e-4, atol=1e-5)
    assert main([*command, "--overwrite", "--layers", "-1"]) == 0
    names = pq.read_table(out).column_names
    assert [name for name in names if name.startswith("stage")] == ["stage3_mean"]


def test_of_a_vision_transformer_the_last_block_is_embedded(place, tmp_path):
    model = create_model("mae_vit_tiny_patch16", size=(32, 32), width=32, depth=2, heads=2)
    model.save_pretrained(tmp_path / "vit")
    out, root = tmp_path / "features.parquet", ["--data.root", str(place / "pictures")]
    assert main(["embed", str(tmp_path / "vit"), *root, "--out", str(out)]) == 0
    names = pq.read_table(out).column_names
    assert [name for name in names if name.startswith("block")] == ["block1_mean"]


@pytest.mark.parametrize(("kind", "ending"), [("pictures", "png"), ("films", "mp4")])
def test_scales_and_attention_are_drawn(place, tmp_path, capsys, kind, ending):
    run, root = str(place / f"run_{kind}"), ["--data.root", str(place / kind), "--most", "2"]
    drawn = ["--pca", f"{tmp_path}/pca.{ending}", "--attention", f"{tmp_path}/looks.{ending}"]
    assert main(["embed", run, *root, *drawn]) == 0
    with Image.open(tmp_path / "pca.png") as colours, Image.open(tmp_path / "looks.png") as looks:
        assert min(*colours.size, *looks.size) > 100
    assert main(["embed", run, *root, *drawn[2:], "--layers", "0"]) == 1
    assert "stage 0 attends within mask units" in capsys.readouterr().err


def test_probing(place, tmp_path):
    root = ["--data.root", str(place / "films"), "--workers", "0", "--seeds", "1", "--shots", "1"]
    out = ["--out", str(tmp_path / "probe")]
    assert main(["probe", str(place / "run_films"), *root, *out]) == 0
    node = json.loads((tmp_path / "probe/scores.json").read_text())
    assert node["features"]["trained"] == ["stage3_mean", "stage2_mean"]


@pytest.mark.parametrize("kind", ["pictures", "films"])
def test_classifiers_pool_once_more_and_answer(tuned, tmp_path, capsys, kind):
    run, root = str(tuned / f"tuned_{kind}"), ["--data.root", str(tuned / kind)]
    model = maskedae.load(run)
    assert model.encoder.pools == 3
    before = maskedae.load(tuned / f"run_{kind}").encoder.state_dict()
    moved = {k: v.ne(model.encoder.state_dict()[k]).any().item() for k, v in before.items()}
    assert moved["embed.weight"] and moved["positions.tile"] and moved["blocks.4.proj.weight"]
    assert main(["evaluate", run, *root, "--out", str(tmp_path / "scores")]) == 0
    assert json.loads((tmp_path / "scores/scores.json").read_text())["samples"] == 6
    capsys.readouterr()
    file = next((tuned / kind / "val/dark").iterdir())
    assert main(["predict", run, str(file)]) == 0
    said = capsys.readouterr().out
    assert str(file) in said and "dark" in said
    assert main(["embed", run, str(file), "--out", str(tmp_path / "a.npz")]) == 0
    found = np.load(tmp_path / "a.npz")
    assert [found[f"stage{n}_mean"].shape for n in range(4)] == [(1, n) for n in WIDTHS]


def test_from_scratch(place, tmp_path):
    command = ["finetune", "finetune_small_folder", "--init", "none", *BRIEF, *PICTURE]
    command += ["--model.name=hiera_tiny_224", "--data.root", str(place / "pictures")]
    assert main([*command, "--out", str(tmp_path / "run")]) == 0


@pytest.mark.parametrize(("kind", "size"), [("pictures", [64, 48]), ("films", [6, 64, 48])])
def test_fine_tuning_on_larger_signals(place, tmp_path, capsys, kind, size):
    recipe = "finetune_small_films" if kind == "films" else "finetune_small_folder"
    command = ["finetune", recipe, "--init", str(place / f"run_{kind}"), *BRIEF]
    command += ["--data.root", str(place / kind), "--out", str(tmp_path / "run")]
    assert main([*command, f"--model.size={[*size[:-1], 40]}"]) == 1
    fits = (*size[:-1], 32)
    assert f"do not tile a signal of {(*size[:-1], 40)}; {fits}" in capsys.readouterr().err
    assert main([*command, "--train.epochs=1", f"--model.size={size}"]) == 0
    assert "resized: encoder.positions" in capsys.readouterr().out
    assert main(["evaluate", str(tmp_path / "run"), "--out", str(tmp_path / "scores")]) == 0


@pytest.mark.parametrize("positions", ["windowed", "published"])
def test_from_pictures_to_films(place, tmp_path, capsys, positions):
    settings = {"size": (48, 32), "kernel": 3, "stride": 2, "width": 8, "positions": positions}
    still = create_model("hiera_tiny_224", stages=(1, 1, 1, 1), heads=1, **settings)
    still.save_pretrained(tmp_path / "still")
    command = ["finetune", "finetune_small_films", "--init", str(tmp_path / "still"), *BRIEF]
    command += ["--data.root", str(place / "films"), "--out", str(tmp_path / "run")]
    assert main(command) == 1
    assert "--model.name names a model of clips" in capsys.readouterr().err
    clips = ["--model.size=[4, 48, 32]", "--train.epochs=1"]
    assert main([*command, *clips, "--model.name=mae_st_vit_base_patch16"]) == 1
    assert "holds hiera_tiny_224" in capsys.readouterr().err
    assert main([*command, *clips, "--model.name=hiera_base_16x224"]) == 0
    said = capsys.readouterr().out
    assert "spread: embed" in said and "separated: positions" in said
    encoder = maskedae.load(tmp_path / "run").encoder
    assert encoder.embed.weight.shape == (8, 3, 3, 3, 3)
    assert ("tile" in dict(encoder.positions.named_parameters())) == (positions == "windowed")


@pytest.mark.parametrize("kind", ["run_pictures", "run_films", "tuned_pictures"])
def test_own_checkpoints_come_and_go(tuned, tmp_path, kind):
    run, first, second = str(tuned / kind), str(tmp_path / "first"), str(tmp_path / "second")
    assert main(["import", run, "--out", first]) == 0
    assert main(["export", first, "--to", "safetensors", "--out", second]) == 0
    models = [maskedae.load(place).encoder for place in (run, second)]
    signal = torch.randn(2, 3, *models[0].size)
    with torch.no_grad():
        assert models[0](signal).equal(models[1](signal))
    assert main(["import", run, "--patch", "4", "--out", str(tmp_path / "third")]) == 1


def test_speed_is_measured(place, tmp_path):
    facts = tmp_path / "facts.json"
    for recipe, tiny in (("hiera_tiny_32px", PICTURE), ("hiera_tiny_64px", FILM)):
        options = ["--batch", "2", "--steps", "1", "--train.drop_path=0.2", "--json", str(facts)]
        assert main(["bench", recipe, *tiny, *options]) == 0
        node = json.loads(facts.read_text())
        assert node["training_flops"] > 2.5 * node["forward_flops"] > 0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            "--model.size=[40, 32]",
            "mask units of (16, 16) do not tile a signal of (40, 32); (32, 32)",
        ),
        ("--model.size=[8, 32]", "(16, 32) would fit"),
        ("--model.kernel=[1, 1]", "or leave gaps"),
        ("--model.kernel=[4, 4]", "have no centre"),
        ("--model.stages=[2]", "two or more"),
        ("--model.heads=3", "a width of 8 does not divide into 3 heads"),
        ("--model.patch=[2, 2]", "unrecognized arguments: --model.patch"),
        ("--masker.ratio=0.95", "leaves 0 of 6 patches visible"),
    ],
)
def test_what_does_not_fit_is_told(place, tmp_path, capsys, wrong, words):
    command = ["pretrain", "hiera_tiny_32px", "--data.root", str(place / "pictures"), *PICTURE]
    assert main([*command, *BRIEF, "--out", str(tmp_path / "run"), wrong]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_models_are_listed(capsys):
    assert main(["models", "hiera_base_[12]*"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()[2:]}
    assert "32 x 32" in lines["hiera_base_224"] and "2 x 32 x 32" in lines["hiera_base_16x224"]


def test_quickstart_takes_hiera_for_pictures(tmp_path, monkeypatch, capsys):
    from maskedae.commands import quickstart

    asked = []
    monkeypatch.setattr(quickstart, "pretrain", lambda command: asked.append(command) or 1)
    assert main(["quickstart", "--model", "hiera", "--out", str(tmp_path / "run")]) == 1
    assert asked[0][0] == "quickstart_hiera" and find_recipe(asked[0][0]).is_file()
    assert main(["quickstart", "video", "--model", "hiera", "--out", str(tmp_path / "no")]) == 1
    assert "leave out video" in capsys.readouterr().err and len(asked) == 1
