"""Every command on sounds, as a user types it."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from PIL import Image

import maskedae.bench
from maskedae import RandomMasker, load
from maskedae.cli import main
from maskedae.datasets.sounds import Sounds
from maskedae.reconstruction import imagine_row

TINY = ["--model.size=[32, 32]", "--model.patch=[8, 8]", "--model.width=32", "--model.depth=2"]
TINY += ["--model.heads=2", "--model.decoder_width=16", "--model.decoder_depth=2"]
TINY += ["--model.decoder_heads=2", "--data.mels=32", "--data.grain=8"]
BRIEF = ["--train.epochs=2", "--train.warmup_epochs=1", "--train.batch_size=4", "--train.workers=0"]
BRIEF += ["--train.trackers=[]", "--data.max_bad_share=0.5"]
RATE = 8000


def write(path, pitch, seconds):
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(int(seconds * RATE)) / RATE
    noise = np.random.default_rng(0).standard_normal(len(times)) * 0.01
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * pitch * times) + noise, RATE)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Sounds of two kinds, low and high, shorter and longer, and a model trained on them."""
    folder = tmp_path_factory.mktemp("place")
    for split, count in (("train", 8), ("val", 4)):
        for label, pitch in (("low", 300), ("high", 2000)):
            for number in range(count):
                path = folder / "sounds" / split / label / f"{number}.wav"
                write(path, pitch + 40 * number, 0.15 + 0.06 * number)
    (folder / "sounds/train/low/broken.wav").write_bytes(b"no sound" * 50)
    write(folder / "long.wav", 500, 1.6)
    run = ["--data.root", str(folder / "sounds"), "--out", str(folder / "run")]
    assert main(["pretrain", "audiomae_tiny_1s", *run, *TINY, *BRIEF]) == 0
    tuned = ["--init", str(folder / "run"), "--data.root", str(folder / "sounds")]
    out = ["--out", str(folder / "tuned"), "--finetune.mixup=10", "--finetune.mix_share=0.5"]
    assert main(["finetune", "finetune_tiny_sounds", *tuned, *out, *BRIEF]) == 0
    return folder


def test_pretraining_draws_spectrograms_and_names_what_is_broken(place):
    pictures = sorted(path.name for path in (place / "run/pictures").iterdir())
    assert pictures == ["epoch-0000.png", "epoch-0002.png"]
    rows = [json.loads(line) for line in (place / "run/skipped.jsonl").read_text().splitlines()]
    assert {row["file"].rsplit("/")[-1] for row in rows} == {"broken.wav"} and rows[0]["reason"]
    metrics = [json.loads(line) for line in (place / "run/metrics.jsonl").open()]
    assert "knn" in metrics[-1] and all(np.isfinite(row.get("loss", 0)) for row in metrics)


def test_fine_tuning_prepares_sounds_as_pretraining_did(place):
    found = load(place / "tuned").encoder.recipe["data"]["init_args"]
    assert (found["rate"], found["mels"], found["grain"]) == (8000, 32, 8)
    assert (found["mean"], found["std"]) == ([-7.0], [4.0])


def test_weights_remember_that_sounds_end_early(place):
    for run in ("run", "tuned"):
        encoder = load(place / run).encoder
        assert encoder.ragged
        signal = torch.randn(1, 1, 32, 32)
        signal[:, :, 16:] = torch.nan
        assert encoder.pool(encoder.forward_features(signal)).isfinite().all()


def test_captions_tell_what_is_hidden_of_what_is_there(place):
    model = load(place / "run")
    signal = torch.randn(1, 1, 32, 32)
    signal[:, :, 8:] = torch.nan  # 4 of 16 patches are there
    row = imagine_row(model, signal, "x.wav", [RandomMasker(0.5)], seed=0)
    assert [panel.caption for panel in row][:2] == ["x.wav", "50% hidden"]
    assert row[0].signal.shape == (1, 8, 32)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("--finetune.cutmix=1.0", "--finetune.cutmix=0 would fit"),
        ("--data.grain=4", "--data.grain=8 would fit"),
    ],
)
def test_settings_that_sounds_cannot_have_are_refused(place, tmp_path, capsys, setting, words):
    tuned = ["--init", str(place / "run"), "--data.root", str(place / "sounds"), setting]
    out = ["--out", str(tmp_path / "tuned")]
    assert main(["finetune", "finetune_tiny_sounds", *tuned, *out, *BRIEF]) == 1
    assert words in capsys.readouterr().err and not (tmp_path / "tuned").exists()


def test_balancing_needs_labels(tmp_path):
    write(tmp_path / "a.wav", 300, 0.3)
    data = Sounds(root=str(tmp_path), mels=32, balance=True)
    with pytest.raises(ValueError, match="data.balance needs labels, and there are none"):
        data.source("train", (1, 32, 32), augment=True)


def test_what_is_for_tests_is_evaluated(place, tmp_path, capsys):
    root = tmp_path / "commands"
    for label, pitch in (("low", 300), ("high", 2000)):
        for number in range(3):
            write(root / label / f"{number}.wav", pitch, 0.3)
    (root / "validation_list.txt").write_text("low/0.wav\nhigh/0.wav\n")
    (root / "testing_list.txt").write_text("low/1.wav\nhigh/1.wav\nhigh/2.wav\n")
    command = ["evaluate", str(place / "tuned"), "--data.root", str(root)]
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("3 samples")
    assert main([*command, "--data.test=false"]) == 0
    assert capsys.readouterr().out.startswith("2 samples")


def test_reconstructions_are_seen_and_heard(place, tmp_path, capsys):
    files = [str(place / "sounds/val/low"), "--most", "3", "--out", str(tmp_path / "a.wav")]
    assert main(["reconstruct", str(place / "run"), *files]) == 0
    said = capsys.readouterr().out
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width > 500
    for name in ("original", "masked", "imagined", "completed"):
        wave, rate = soundfile.read(tmp_path / f"a-{name}.wav")
        assert rate == RATE and np.isfinite(wave).all() and wave.any()
        assert f"a-{name}.wav" in said
    command = [files[0], "--mask_ratio=[0.5, 0.75]", "--out", str(tmp_path / "b.png")]
    assert main(["reconstruct", str(place / "run"), *command]) == 0
    heard = {f"b-{name}.wav" for name in ("original", "masked", "imagined", "completed")}
    assert {path.name for path in tmp_path.glob("b*")} == {"b.png", *heard}


def test_figures_do_not_replace_the_sounds_they_show(place, tmp_path):
    write(tmp_path / "a-original.wav", 300, 0.3)
    before = (tmp_path / "a-original.wav").read_bytes()
    command = [str(tmp_path / "a-original.wav"), "--out", str(tmp_path / "a.wav")]
    assert main(["reconstruct", str(place / "run"), *command]) == 1
    assert (tmp_path / "a-original.wav").read_bytes() == before


def test_windows_are_embedded_with_their_times(place, tmp_path):
    out = tmp_path / "features.parquet"
    window = ["--data.window=0.3", "--data.hop=0.3", "--out", str(out)]
    assert main(["embed", str(place / "run"), str(place / "long.wav"), *window]) == 0
    table = pq.read_table(out)
    assert table.column("start").to_pylist() == pytest.approx([0, 0.3, 0.6, 0.9, 1.2, 1.3])
    assert table.column("end").to_pylist() == pytest.approx([0.3, 0.6, 0.9, 1.2, 1.5, 1.6])
    vectors = np.array(table.column("block1_mean").to_pylist())
    assert np.isfinite(vectors).all() and vectors.std(axis=0).min() > 0


def test_features_of_sounds_that_end_early_are_finite_and_drawn(place, tmp_path):
    files = [str(place / "sounds/val/high"), "--out", str(tmp_path / "f.parquet")]
    figures = ["--pca", str(tmp_path / "pca.png"), "--attention", str(tmp_path / "maps.png")]
    assert main(["embed", str(place / "run"), *files, *figures]) == 0
    vectors = np.array(pq.read_table(tmp_path / "f.parquet").column("block1_mean").to_pylist())
    assert len(vectors) == 4 and np.isfinite(vectors).all()
    for name in ("pca.png", "maps.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.width > 200


def test_probing(place, tmp_path, capsys):
    command = ["--data.root", str(place / "sounds"), "--out", str(tmp_path / "probe")]
    assert main(["probe", str(place / "run"), *command]) == 0
    assert "linear probe" in capsys.readouterr().out
    scores = json.loads((tmp_path / "probe/scores.json").read_text())
    assert scores


def test_evaluating_and_predicting(place, tmp_path, capsys):
    command = ["--data.root", str(place / "sounds"), "--out", str(tmp_path / "scores")]
    assert main(["evaluate", str(place / "tuned"), *command]) == 0
    scores = json.loads((tmp_path / "scores/scores.json").read_text())
    assert 0 <= scores["scores"]["acc1"] <= 1
    out = ["--json", str(tmp_path / "out.jsonl"), "--data.window=0.32"]
    assert main(["predict", str(place / "tuned"), str(place / "long.wav"), *out]) == 0
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(rows) == 5 and rows[0]["start"] == 0 and "low" in json.dumps(rows[0])


def test_quickstart_s_sounds(tmp_path):
    from maskedae.datasets.sounds import Sounds
    from maskedae.datasets.tones import KINDS, write_sounds

    write_sounds(tmp_path, each=10)
    splits = Sounds(root=str(tmp_path)).splits
    assert len(splits.train) == 80 and len(splits.held_out) == 20
    assert splits.train.classes == tuple(sorted(KINDS)) and len(KINDS) == 10
    files = list(tmp_path.glob("*/*/*.wav"))
    assert len({path.read_bytes() for path in files}) == 100
    for path in files[::7]:
        wave, rate = soundfile.read(path)
        assert rate == 16000 and 0.15 < np.abs(wave).max() <= 1


def test_a_run_with_bands_and_the_global_decoder(place, tmp_path):
    run = ["--data.root", str(place / "sounds"), "--out", str(tmp_path / "run")]
    bands = ["--masker=BandMasker", "--masker.time=0.5", "--masker.frequency=0.25"]
    other = ["--model.decoder=global", "--data.short=zeros", *bands]
    assert main(["pretrain", "audiomae_tiny_1s", *run, *TINY, *BRIEF, *other]) == 0
    model = load(tmp_path / "run")
    assert type(model.masker).__name__ == "BandMasker" and not model.encoder.ragged
    assert (
        main(
            [
                "reconstruct",
                str(tmp_path / "run"),
                str(place / "long.wav"),
                "--out",
                str(tmp_path / "g.png"),
            ]
        )
        == 0
    )


def test_speed_is_measured_on_sounds(place, tmp_path, monkeypatch):
    monkeypatch.setitem(maskedae.bench.SQUARES, "cpu", (128, 256))
    monkeypatch.setattr(maskedae.bench, "BUDGET", 0.05)
    command = [*TINY, "--steps", "1", "--json", str(tmp_path / "bench.json")]
    sounds = ["--data.root", str(place / "sounds"), "--train.workers=0"]
    assert main(["bench", "audiomae_tiny_1s", *command, *sounds]) == 0
    facts = json.loads((tmp_path / "bench.json").read_text())
    assert facts["samples_per_second"] > 0 and facts["data_samples_per_second"] > 0
