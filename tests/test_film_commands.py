"""Every command on films, as a user types it."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from torch.testing import assert_close

import maskedae
from maskedae import create_model
from maskedae.answers import Answers
from maskedae.classifier import Classifier
from maskedae.cli import main
from maskedae.datasets.films.films import open_film
from maskedae.datasets.films.writing import write_film
from maskedae.datasets.videos import Videos
from maskedae.finetuning.answering import answer

TINY = ["--model.size=[4, 16, 16]", "--model.patch=[2, 8, 8]", "--model.width=32"]
TINY += ["--model.depth=2", "--model.heads=2", "--model.decoder_width=16"]
TINY += ["--model.decoder_depth=1", "--model.decoder_heads=2", "--train.trackers=[]"]
BRIEF = ["--train.epochs=2", "--train.warmup_epochs=1", "--train.batch_size=4", "--train.workers=0"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Films of two kinds, darker and brighter, and a model that was trained on them."""
    folder = tmp_path_factory.mktemp("place")
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 3)):
        for label, shade in (("dark", 60), ("light", 200)):
            for number in range(count):
                film = rng.normal(shade, 20, (12, 20, 24, 3)).clip(0, 255).astype(np.uint8)
                write_film(folder / "films" / split / label / f"{number}.mp4", film, 10.0)
    (folder / "films/train/dark/broken.mp4").write_bytes(b"no film" * 50)
    run = ["--data.root", str(folder / "films"), "--out", str(folder / "run")]
    command = ["pretrain", "videomae_tiny_64px", *run, *TINY, *BRIEF, "--data.max_bad_share=0.5"]
    assert main(command) == 0
    return folder


def test_pretraining_draws_films_and_names_what_is_broken(place):
    pictures = sorted(path.name for path in (place / "run/pictures").iterdir())
    assert pictures == ["epoch-0000.mp4", "epoch-0000.png", "epoch-0002.mp4", "epoch-0002.png"]
    rows = [json.loads(line) for line in (place / "run/skipped.jsonl").read_text().splitlines()]
    assert len(rows) == 1 and rows[0]["file"].endswith("broken.mp4") and rows[0]["reason"]


@pytest.mark.parametrize(("out", "film"), [("a.png", "a.mp4"), ("b.gif", "b.gif")])
def test_reconstructions_are_films_and_sheets(place, tmp_path, capsys, out, film):
    files = [str(place / "films/val/dark"), "--most", "2", "--out", str(tmp_path / out)]
    assert main(["reconstruct", str(place / "run"), *files]) == 0
    said = capsys.readouterr().out
    sheet = tmp_path / film.replace(".mp4", ".png").replace(".gif", ".png")
    assert f"wrote {sheet} and {tmp_path / film}" in said
    assert len(open_film(str(tmp_path / film), "pyav").times) == 4
    with Image.open(sheet) as picture:
        assert picture.height > picture.width  # strips under each other


def test_windows_are_embedded_with_their_times(place, tmp_path):
    out = tmp_path / "features.parquet"
    window = ["--data.window=0.6", "--data.hop=0.3", "--batch_size", "2", "--out", str(out)]
    films = [str(place / "films/val/dark/0.mp4"), str(place / "films/val/light/1.mp4")]
    assert main(["embed", str(place / "run"), *films, *window]) == 0
    table = pq.read_table(out)
    assert table.column("start").to_pylist() == pytest.approx([0, 0.3, 0.6] * 2)
    assert table.column("end").to_pylist() == pytest.approx([0.6, 0.9, 1.2] * 2)
    assert table.column("path").to_pylist() == [film for film in films for _ in range(3)]


def test_features_of_several_views_are_their_mean(place, tmp_path):
    film = str(place / "films/val/dark/0.mp4")
    found = {}
    for views in ("[1, 1]", "[1, 3]"):
        out = tmp_path / f"{len(found)}.parquet"
        options = [f"--data.test_views={views}", "--data.stride=1", "--out", str(out)]
        assert main(["embed", str(place / "run"), film, *options]) == 0
        found[views] = np.array(pq.read_table(out).column("block1_mean").to_pylist()[0])
    one, three = found.values()
    assert one.shape == three.shape and 0 < np.abs(one - three).max() < np.abs(one).max()


def test_probing_and_fine_tuning(place, tmp_path, capsys):
    root, run = ["--data.root", str(place / "films")], str(place / "run")
    assert main(["probe", run, *root, "--out", str(tmp_path / "probe"), "--workers", "0"]) == 0
    tuned = str(tmp_path / "tuned")
    options = ["--out", tuned, "--train.trackers=[]", "--data.max_bad_share=0.5", *BRIEF]
    assert main(["finetune", "finetune_tiny_films", "--init", run, *root, *options]) == 0
    views = ["--data.test_views=[2, 3]", "--out", str(tmp_path / "scores")]
    assert main(["evaluate", tuned, *root, *views]) == 0
    assert json.loads((tmp_path / "scores/scores.json").read_text())["samples"] == 6
    capsys.readouterr()
    film, out = str(place / "films/val/light/0.mp4"), tmp_path / "said.jsonl"
    window = ["--data.window=0.6", "--json", str(out)]
    assert main(["predict", tuned, film, *window]) == 0
    assert f"{film} 0.60-1.20 s: " in capsys.readouterr().out
    said = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["file"] for row in said] == [film] * 2
    assert [row["end"] for row in said] == pytest.approx([0.6, 1.2])


def test_answers_are_averaged_over_views(place, tmp_path, capsys):
    model = maskedae.load(place / "run").encoder
    classifier = Classifier(model, Answers("class", ("dark", "light"))).eval()
    torch.nn.init.normal_(classifier.encoder.head.linear.weight)
    data = Videos(root=str(place / "films"), stride=2, test_views=(2, 2))
    source = data.source("held_out", (3, 4, 16, 16), augment=False)
    found = answer(classifier, data, source, Accelerator(cpu=True))
    with torch.no_grad():
        each = [classifier(data.signal(source.read(index))).mean(0) for index in range(6)]
    assert_close(found.logits, torch.stack(each))


def test_the_doctor_decodes_films(place, capsys):
    assert main(["doctor", str(place / "films"), "--fresh", "--workers", "1"]) == 1
    said = capsys.readouterr().out
    assert "film: 18 can be read" in said and "broken.mp4: text, not a film" in said


def test_no_figure_replaces_what_it_shows(place, tmp_path, capsys):
    film = tmp_path / "film.mp4"
    film.write_bytes((place / "films/val/dark/0.mp4").read_bytes())
    before = film.read_bytes()
    for out in ("film.png", "film.mp4"):
        assert main(["reconstruct", str(place / "run"), str(film), "--out", str(tmp_path / out)])
        assert "would replace" in capsys.readouterr().err
    assert main(["embed", str(place / "run"), str(film), "--pca", str(tmp_path / "film.png")])
    assert film.read_bytes() == before
    assert main(["reconstruct", str(place / "run"), str(film), "--out", str(tmp_path / "a.avi")])
    assert ".mp4, or .gif" in capsys.readouterr().err


def test_from_pictures_to_films(place, tmp_path, capsys):
    still = create_model(
        "mae_vit_tiny_patch16", size=(16, 16), patch=(8, 8), width=32, depth=2, heads=2
    )
    still.save_pretrained(tmp_path / "still")
    command = ["finetune", "finetune_tiny_films", "--init", str(tmp_path / "still")]
    command += ["--data.root", str(place / "films"), "--data.max_bad_share=0.5", *BRIEF]
    assert main([*command, "--out", str(tmp_path / "no")]) == 1
    assert "--model.name names a model of clips" in capsys.readouterr().err
    clips = ["--model.name=mae_st_vit_base_patch16", "--model.size=[4, 16, 16]"]
    assert main([*command, *clips, "--out", str(tmp_path / "run"), "--train.trackers=[]"]) == 0
    assert "spread: embed" in capsys.readouterr().out


def test_what_was_left_out_is_told(place, tmp_path, capsys):
    films = place / "films/train"
    rows = [f"dark,{number},0,10,train" for number in range(8)]
    (films / "k.csv").write_text("label,youtube_id,time_start,time_end,split\n" + "\n".join(rows))
    out = [
        "--out",
        str(tmp_path / "run"),
        *TINY,
        *BRIEF,
        "--train.epochs=1",
        "--train.batch_size=2",
    ]
    assert main(["pretrain", "videomae_tiny_64px", "--data.root", str(films / "k.csv"), *out]) == 0
    assert "left out: 2 listed, but not there" in capsys.readouterr().out
    (films / "k.csv").unlink()
