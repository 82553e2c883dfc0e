"""Every command on films with sound, as a user types it."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
import yaml
from PIL import Image

import maskedae
from maskedae import create_model, pretraining
from maskedae.cli import main
from maskedae.datasets.films.films import open_film
from maskedae.datasets.films.writing import write_film
from maskedae.datasets.scenes import RATE, frames, scene, write_scenes

TINY = ["--model.audio_size=[48, 32]", "--model.audio_patch=[16, 16]", "--data.mels=32"]
TINY += ["--model.video_size=[4, 16, 16]", "--model.video_patch=[2, 8, 8]", "--model.width=32"]
TINY += ["--model.depth=2", "--model.heads=2", "--model.decoder_width=16"]
TINY += ["--model.decoder_depth=1", "--model.decoder_heads=2"]
BRIEF = ["--train.epochs=2", "--train.warmup_epochs=1", "--train.batch_size=4"]
BRIEF += ["--train.workers=0", "--train.trackers=[]"]
STAGE1, STAGE2 = ("pretrain", "mavil_tiny_64px"), ("pretrain", "mavil_tiny_64px_stage2")
TUNING = ("finetune", "finetune_tiny_audio_video")
LACKING = ("cross-0000.mp4", "disc-0001.wav", "cross-0010.mp4", "disc-0011.wav")
HEARD = ("original", "masked", "imagined", "completed")


@pytest.fixture(scope="module", autouse=True)
def quick():
    """One row of every picture that is drawn on the way, for the sake of time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretraining, "PICTURES", 1)
        yield


@pytest.fixture(scope="module")
def place(quick, tmp_path_factory):
    """Films of five shapes that one hears, and a model that was trained on them."""
    folder = tmp_path_factory.mktemp("place")
    write_scenes(folder / "films", train=10, held_out=5)
    run = ["--data.root", str(folder / "films"), "--out", str(folder / "run")]
    assert main([*STAGE1, *run, *TINY, *BRIEF]) == 0
    return folder


@pytest.fixture(scope="module")
def student(place):
    """A model of the second stage."""
    options = ["--data.root", str(place / "films"), "--out", str(place / "student")]
    assert main([*STAGE2, *options, *TINY, *BRIEF, "--teacher", str(place / "run")]) == 0
    return place / "student"


@pytest.fixture(scope="module")
def tuned(place):
    """Classifiers of both, of sound and of pictures, from one checkpoint."""
    found = {}
    for modality in ("av", "a", "v"):
        found[modality] = place / f"tuned_{modality}"
        command = [*TUNING, "--init", str(place / "run"), "--data.root", str(place / "films")]
        command += ["--data.mels=32", f"--model.modality={modality}", *BRIEF]
        assert main([*command, "--out", str(found[modality])]) == 0
    return found


@pytest.fixture(scope="module")
def uneven(place):
    """The same films, but a silent one and a sound without pictures in every split."""
    folder = place / "uneven"
    shutil.copytree(place / "films", folder)
    for split in ("train", "val"):
        (film,) = (folder / split / "cross").glob(
            f"cross-{'0000' if split == 'train' else '0010'}*"
        )
        write_film(film, frames(scene(0)), RATE)
        (film,) = (folder / split / "disc").glob(f"disc-{'0001' if split == 'train' else '0011'}*")
        film.unlink()
        tone = np.sin(np.arange(16000 * 2) / 8).astype(np.float32)
        soundfile.write(film.with_suffix(".wav"), tone, 16000)
    return folder


def rows(run):
    """Lines of metrics.jsonl."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def same_features(one, other):
    """Whether two encoders make the same of signals."""
    signal = drawn(one)
    with torch.no_grad():
        return one.forward_features(signal).equal(other.forward_features(signal))


def drawn(encoder):
    """A signal of chance for an encoder."""
    from maskedae.pairs import make_signal

    return make_signal(encoder.shape, lambda shape: torch.randn(2, *shape))


def test_the_first_stage(place):
    run = place / "run"
    pictures = sorted(path.name for path in (run / "pictures").iterdir())
    assert pictures == ["epoch-0000.png", "epoch-0002.png"]
    steps = [row for row in rows(run) if "loss" in row]
    for name in ("audio", "video", "inter", "intra", "baseline", "grad_norm"):
        assert all(np.isfinite(row[name]) for row in steps) and steps
    looks = [row for row in rows(run) if "knn" in row]
    assert len(looks) == 2 and all(0 <= row["recall1"] <= 1 for row in looks)


def test_what_is_not_wanted_is_not_measured(place, tmp_path):
    options = ["--data.root", str(place / "films"), "--out", str(tmp_path / "run")]
    terms = ["--model.inter_weight=0", "--model.intra_weight=0", "--train.epochs=1"]
    terms += ["--train.warmup_epochs=0", "--model.fusion=bottleneck"]
    assert main([*STAGE1, *options, *TINY, *BRIEF, *terms]) == 0
    last = [row for row in rows(tmp_path / "run") if "loss" in row][-1]
    assert {"audio", "video"} <= last.keys() and not {"inter", "intra"} & last.keys()


def test_the_second_stage(place, student, tmp_path, capsys):
    config = yaml.safe_load((student / "config.yaml").read_text())
    assert config["teacher"] == str(place / "run") and config["init"] == ["teacher"]
    steps = [row for row in rows(student) if "loss" in row]
    # Features of unit variance: whoever predicts their mean is off by one for each of both.
    assert all(row["baseline"] == pytest.approx(2, rel=1e-3) for row in steps) and steps
    assert not list((student / "pictures").iterdir())
    names = set(maskedae.load(student).state_dict())
    assert names == set(maskedae.load(place / "run").state_dict())  # nothing of the teacher
    film = str(place / "films/val/disc")
    assert main(["reconstruct", str(student), film, "--out", str(tmp_path / "a.png")]) == 1
    assert "imagines features, which cannot be drawn" in capsys.readouterr().err


def test_where_students_start(place, tmp_path, capsys):
    options = [*STAGE2, "--data.root", str(place / "films"), *TINY, *BRIEF, "--train.epochs=1"]
    options += ["--train.warmup_epochs=0", "--teacher", str(place / "run")]
    assert main([*options, "--out", str(tmp_path / "a")]) == 0
    said = capsys.readouterr().out
    assert f"teacher   {place / 'run'}" in said and "init      teacher: model: 110 of 114" in said
    assert main([*options, "--out", str(tmp_path / "b"), "--init", "none"]) == 0
    said = capsys.readouterr().out
    assert f"teacher   {place / 'run'}" in said and "init      " not in said


def test_iterations(place, tmp_path, capsys):
    out = tmp_path / "students"
    command = [*STAGE2, "--data.root", str(place / "films"), "--out", str(out), *TINY, *BRIEF]
    command += ["--train.epochs=1", "--train.warmup_epochs=0", "--teacher", str(place / "run")]
    assert main([*command, "--iterations", "2"]) == 0
    said = capsys.readouterr().out
    assert f"iteration 2 of 2, in {out}/iteration-2, from {out}/iteration-1" in said
    teachers = [
        yaml.safe_load((out / f"iteration-{number}" / "config.yaml").read_text())["teacher"]
        for number in (1, 2)
    ]
    assert teachers == [str(place / "run"), str(out / "iteration-1")]
    first, second = (maskedae.load(out / f"iteration-{n}").encoder for n in (1, 2))
    assert not same_features(first, second)
    assert main([*command, "--iterations", "2", "--resume"]) == 0
    assert capsys.readouterr().out.count("resumed   at step 2 of 2") == 2
    assert main([*command[:4], "--out", str(place / "run"), *command[6:], "--iterations", "2"]) == 1
    assert "holds a run of its own" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stage", "options", "words"),
    [
        (STAGE2, ["--teacher", "RUN", "--model.width=48"], "the same would fit"),
        (
            STAGE2,
            ["--teacher", "RUN", "--model.audio_size=[64, 32]"],
            "the same would fit",
        ),
        (STAGE2, [], "learns to predict the features of a teacher: --teacher CHECKPOINT"),
        (STAGE2, ["--init", "none"], "of a teacher: --teacher CHECKPOINT"),
        (STAGE2, ["--teacher", "nowhere"], "nowhere does not exist"),
        (STAGE2, ["--iterations", "2"], "needs what the first student learns from: --teacher RUN"),
        (STAGE2, ["--teacher", "RUN", "--iterations", "0"], "1 or more would fit"),
        (
            STAGE2,
            ["--teacher", "RUN", "--model.modality=a"],
            "the same would fit",
        ),
        (STAGE1, ["--init", "OTHER", "--model.modality=a"], "does not fill the encoder"),
        (STAGE1, ["--teacher", "RUN"], "the model predicts signals: take a recipe of the second"),
        (STAGE1, ["--init", "teacher"], "init names the teacher, and there is none"),
        (STAGE1, ["--init", "HIERA"], "has no blocks for sound or pictures"),
        (STAGE1, ["--init", "OTHER"], "width, depth and heads are (48, 2, 2) in the file and (32"),
        (
            STAGE1,
            ["--init", "RUN", "--model.fusion=bottleneck"],
            "one of the same system, and with the same",
        ),
        (STAGE1, ["--model.modality=b"], "modality"),
        (STAGE1, ["--masker.ratio=0.99"], "patches visible"),
        (STAGE1, ["--data.mels=64"], "--data.mels=32, or a model of (48, 64), would fit"),
        (STAGE1, ["--data.missing=drop"], "missing"),
    ],
)
def test_what_does_not_fit_is_told(place, tmp_path, capsys, stage, options, words):
    create_model("hiera_tiny_224", size=(32, 32), width=8, heads=1, stages=(1, 1)).save_pretrained(
        tmp_path / "hiera"
    )
    settings = {"size": (16, 16), "patch": (8, 8), "depth": 2, "heads": 2, "width": 48}
    create_model("mae_vit_tiny_patch16", **settings).save_pretrained(tmp_path / "other")
    names = {"RUN": place / "run", "HIERA": tmp_path / "hiera", "OTHER": tmp_path / "other"}
    options = [str(names.get(option, option)) for option in options]
    out = ["--data.root", str(place / "films"), "--out", str(tmp_path / "out")]
    assert main([*stage, *out, *TINY, *BRIEF, *options]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("mae_vit_tiny_patch16", {"size": (16, 16), "patch": (8, 8)}, ["video", "audio"]),
        ("audiomae_vit_base_patch16", {"size": (48, 32), "patch": (16, 16)}, ["audio"]),
        (
            "mae_st_vit_base_patch16",
            {"size": (4, 16, 16), "patch": (2, 8, 8)},
            ["video"],
        ),
    ],
)
def test_from_models_of_one_kind(place, tmp_path, capsys, name, settings, words):
    model = create_model(name, **settings, width=32, depth=2, heads=2)
    model.save_pretrained(tmp_path / "one")
    command = [*STAGE1, "--data.root", str(place / "films"), "--out", str(tmp_path / "run")]
    command += [*TINY, *BRIEF, "--train.epochs=1", "--train.warmup_epochs=0"]
    assert main([*command, "--init", str(tmp_path / "one")]) == 0
    said = capsys.readouterr().out
    found = [line for line in said.splitlines() if line.startswith("init") and "inherited" in line]
    assert all(any(f" {side}: " in line for line in found) for side in words)
    assert "start as the last block" in said


@pytest.mark.parametrize("modality", ["av", "a", "v"])
def test_classifiers(tuned, place, tmp_path, capsys, modality):
    run, root = str(tuned[modality]), ["--data.root", str(place / "films")]
    assert main(["evaluate", run, *root, "--out", str(tmp_path / "scores")]) == 0
    assert json.loads((tmp_path / "scores/scores.json").read_text())["samples"] == 5
    film, out = str(next((place / "films/val/disc").iterdir())), tmp_path / "said.jsonl"
    capsys.readouterr()
    assert main(["predict", run, film, "--json", str(out)]) == 0
    assert f"{film}: " in capsys.readouterr().out
    (said,) = [json.loads(line) for line in out.read_text().splitlines()]
    assert said["file"] == film
    assert main(["embed", run, film, "--out", str(tmp_path / "a.npz")]) == 0
    found = np.load(tmp_path / "a.npz")
    last = found[[name for name in found.files if name.startswith("block")][-1]]
    assert last.shape == (1, 64 if modality == "av" else 32) and np.isfinite(last).all()


def test_windows_are_answered_with_their_times(tuned, place, tmp_path):
    film, out = str(next((place / "films/val/disc").iterdir())), tmp_path / "said.jsonl"
    assert main(["predict", str(tuned["av"]), film, "--data.window=1", "--json", str(out)]) == 0
    said = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["start"] for row in said] == pytest.approx([0, 1, 2, 3], abs=0.01)


def test_classifiers_come_from_one_checkpoint(tuned, place):
    before = maskedae.load(place / "run").encoder.state_dict()
    after = {m: maskedae.load(tuned[m]).encoder.state_dict() for m in tuned}
    for modality, side in (("a", "audio"), ("v", "video")):
        one, other = after[modality]["embed.weight"], before[f"{side}.embed.weight"]
        assert one.shape == other.shape and (one - other).abs().max() < 0.01
        both = after["av"][f"{side}.embed.weight"]
        assert both.ne(other).any() and (both - other).abs().max() < 0.01


def test_from_students_from_scratch_and_larger(place, student, tmp_path, capsys):
    command = [*TUNING, "--data.root", str(place / "films"), *BRIEF, "--data.mels=32"]
    command += ["--train.epochs=1", "--train.warmup_epochs=0"]
    larger = ["--model.video_size=[4, 32, 16]", "--model.audio_size=[96, 32]"]
    init = ["--init", str(student), "--finetune.mixup=0.8", *larger]
    assert main([*command, *init, "--out", str(tmp_path / "a")]) == 0
    said = capsys.readouterr().out
    assert "resized: encoder.audio.positions from (3, 2) to (6, 2)" in said
    assert "resized: encoder.video.positions from (2, 2, 2) to (2, 4, 2)" in said
    init = ["--init", "none", "--model.name=mavil_vit_small", *TINY]
    assert main([*command, *init, "--out", str(tmp_path / "b")]) == 0
    assert main([*command, "--init", "none", "--out", str(tmp_path / "c")]) == 1
    assert "names no model" in capsys.readouterr().err


def test_what_fine_tuning_cannot_have_is_told(place, tuned, tmp_path, capsys):
    command = [*TUNING, "--data.root", str(place / "films"), *BRIEF, "--data.mels=32"]
    command += ["--out", str(tmp_path / "out")]
    for options, words in (
        (["--init", str(place / "run"), "--finetune.cutmix=1"], "--finetune.cutmix=0 would fit"),
        (["--init", str(tuned["a"]), "--model.modality=v"], "modality a cannot serve v"),
        (["--init", str(place / "run"), "--model.modality=b"], "modality"),
    ):
        assert main([*command, *options]) == 1
        assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("modality", ["av", "a", "v"])
def test_probing(place, tmp_path, modality):
    command = ["probe", str(place / "run"), "--data.root", str(place / "films"), "--workers", "0"]
    command += ["--seeds", "1", "--shots", "1", "--modality", modality]
    assert main([*command, "--out", str(tmp_path / "probe")]) == 0
    scores = json.loads((tmp_path / "probe/scores.json").read_text())
    assert "NaN" not in json.dumps(scores)


@pytest.mark.parametrize("modality", ["av", "a", "v"])
def test_embedding(place, tmp_path, modality):
    run, root = str(place / "run"), ["--data.root", str(place / "films")]
    out = tmp_path / "features.parquet"
    command = ["embed", run, *root, "--modality", modality, "--out", str(out)]
    assert main([*command, "--pool", "mean", "class", "patches"]) == 0
    table = pq.read_table(out)
    assert len(table) == 15
    names = [name for name in table.column_names if name.startswith("block")]
    widths = {name: len(table.column(name)[0].as_py()) for name in names}
    both, patches = (2, 6 + 8) if modality == "av" else (1, 6 if modality == "a" else 8)
    last = names[-1].rpartition("_")[0]
    assert widths[f"{last}_mean"] == 32 * both and widths[f"{last}_class"] == 32 * both
    assert widths[f"{last}_patches"] == 32 * patches
    assert all(np.isfinite(table.column(name).to_pylist()).all() for name in names)


@pytest.mark.parametrize("figure", ["--pca", "--attention"])
def test_patches_are_drawn_of_either_kind(place, tmp_path, capsys, figure):
    command = ["embed", str(place / "run"), str(place / "films/val/disc"), figure]
    for modality, files in (("a", {"a.png"}), ("v", {"v.png", "v.mp4"})):
        out = str(tmp_path / f"{modality}.png")
        assert main([*command, out, "--modality", modality]) == 0
        assert {path.name for path in tmp_path.glob(f"{modality}.*")} == files
        with Image.open(out) as picture:
            assert picture.width > 100
    capsys.readouterr()
    assert main([*command, str(tmp_path / "av.png")]) == 1
    assert "--modality a or --modality v would fit" in capsys.readouterr().err


def test_no_figure_replaces_what_it_shows(place, tmp_path, capsys):
    film = tmp_path / "film.mp4"
    shutil.copy(next((place / "films/val/disc").iterdir()), film)
    before = film.read_bytes()
    run, png = str(place / "run"), str(tmp_path / "film.png")
    for command in (
        ["reconstruct", run, str(film), "--out", png],
        ["reconstruct", run, str(film), "--out", str(film)],
        ["embed", run, str(film), "--pca", png, "--modality", "v"],
        ["embed", run, str(film), "--attention", png, "--modality", "v"],
    ):
        assert main(command) == 1
        assert "would replace" in capsys.readouterr().err
        assert film.read_bytes() == before


def test_films_are_reconstructed_and_heard(place, tmp_path, capsys):
    files = [str(place / "films/val"), "--most", "2", "--mask_ratio=[0.3, 0.6]"]
    assert main(["reconstruct", str(place / "run"), *files, "--out", str(tmp_path / "a.png")]) == 0
    said = capsys.readouterr().out
    names = {"a.png", "a.mp4", *(f"a-{column}.wav" for column in HEARD)}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert all(str(tmp_path / name) in said for name in names)
    assert len(open_film(str(tmp_path / "a.mp4"), "pyav").times) >= 4
    for column in HEARD:
        wave, rate = soundfile.read(tmp_path / f"a-{column}.wav")
        assert rate == 16000 and np.isfinite(wave).all() and wave.any()
    with Image.open(tmp_path / "a.png") as several:
        tall = several.height
    ratio = ["--mask_ratio=0.5", "--out", str(tmp_path / "a.png")]
    assert main(["reconstruct", str(place / "run"), *files, *ratio]) == 0
    with Image.open(tmp_path / "a.png") as one:
        assert one.height < tall
    assert main(["reconstruct", str(place / "run"), *files, "--out", str(tmp_path / "a.gif")]) == 1
    assert ".png, .mp4 and .wav together" in capsys.readouterr().err


@pytest.mark.parametrize("modality", ["a", "v"])
def test_one_kind_alone_from_the_start(place, tmp_path, modality):
    run, root = tmp_path / "run", ["--data.root", str(place / "films")]
    options = ["--train.epochs=1", "--train.warmup_epochs=0", f"--model.modality={modality}"]
    assert main([*STAGE1, *root, *TINY, *BRIEF, *options, "--out", str(run)]) == 0
    files = [str(place / "films/val/disc"), "--out", str(tmp_path / "figure/a.png")]
    assert main(["reconstruct", str(run), *files]) == 0
    found = {path.name for path in (tmp_path / "figure").iterdir()}
    heard = {f"a-{column}.wav" for column in HEARD}
    assert found == {"a.png", *(heard if modality == "a" else ["a.mp4"])}


def test_films_are_found_by_their_sound(place, tmp_path, capsys):
    command = ["retrieve", str(place / "run"), "--data.root", str(place / "films")]
    assert main([*command, "--out", str(tmp_path / "found"), "--workers", "0"]) == 0
    node = json.loads((tmp_path / "found/scores.json").read_text())
    assert set(node["candidates"]) == {"checkpoint", "random init", "chance"}
    assert "5 of 5 samples scored" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["run", "tuned"])
def test_checkpoints_come_and_go(place, tuned, tmp_path, kind):
    run = tuned["av"] if kind == "tuned" else place / "run"
    for target, name in (("official", "model.pth"), ("safetensors", "folder")):
        out, back = str(tmp_path / name), str(tmp_path / f"{target}_back")
        assert main(["export", str(run), "--to", target, "--out", out]) == 0
        sizes = ["--heads", "2", "--decoder_heads", "2"] if target == "official" else []
        if target == "official":
            model = maskedae.load(
                out, audio_size=(48, 32), video_size=(4, 16, 16), heads=2, decoder_heads=2
            )
        else:
            assert main(["import", out, "--out", back, *sizes]) == 0
            model = maskedae.load(back)
        mine = maskedae.load(run)
        assert same_features(mine.encoder, model.encoder)
        if kind == "tuned":
            signal = drawn(mine.encoder)
            with torch.no_grad():
                assert mine(signal).equal(model(signal))


@pytest.mark.parametrize("modality", ["a", "v"])
def test_one_kind_is_exported(tuned, tmp_path, capsys, modality):
    folder = tmp_path / "folder"
    assert main(["export", str(tuned[modality]), "--to", "safetensors", "--out", str(folder)]) == 0
    one, other = (maskedae.load(place) for place in (tuned[modality], folder))
    signal = drawn(one.encoder)
    with torch.no_grad():
        assert one(signal).equal(other(signal))
    official = ["--to", "official", "--out", str(tmp_path / "a.pth")]
    capsys.readouterr()
    assert main(["export", str(tuned[modality]), *official]) == 1
    assert "safetensors, onnx or torch" in capsys.readouterr().err


def test_graphs_are_of_one_kind(place, tuned, tmp_path, capsys):
    out = tmp_path / "model.onnx"
    for run in (place / "run", tuned["av"]):
        assert main(["export", str(run), "--to", "onnx", "--out", str(out)]) == 1
        assert "--modality" in capsys.readouterr().err
    one = ["--modality", "v", "--out", str(out)]
    assert main(["export", str(place / "run"), "--to", "onnx", *one]) == 0
    assert "checked by onnxruntime" in capsys.readouterr().out


def test_models_and_recipes_are_listed(capsys):
    assert main(["models", "mavil_vit_small"]) == 0
    said = capsys.readouterr().out
    assert "1024 x 128" in said and "8 x 224 x 224" in said
    assert main(["recipes"]) == 0
    assert "mavil_vit_base_audioset_stage2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "factor"),
    [([], 2.5), (["--model.predicts=features"], 1.5), (["--model.modality=v"], 2.5)],
)
def test_speed_is_measured(place, tmp_path, options, factor):
    facts = tmp_path / "facts.json"
    command = ["bench", "mavil_tiny_64px", *TINY, "--batch", "2", "--steps", "1", *options]
    assert main([*command, "--json", str(facts)]) == 0
    node = json.loads(facts.read_text())
    assert node["training_flops"] > factor * node["forward_flops"] > 0


def test_the_doctor_looks_at_films_with_sound(uneven, capsys):
    status = main(["doctor", str(uneven), "--fresh", "--workers", "1"])
    said = capsys.readouterr().out
    assert "film: 13 can be read" in said and status == 0, said


def lacked(run):
    """Names of the files that a run left out."""
    lines = (run / "skipped.jsonl").read_text().splitlines()
    return {json.loads(line)["file"].rpartition("/")[2] for line in lines}


def test_what_lacks_sound_or_pictures_is_learned_from(place, uneven, tmp_path, capsys):
    run, data = tmp_path / "run", ["--data.root", str(uneven), "--data.max_bad_share=0.5"]
    once = [*BRIEF, "--train.epochs=1", "--train.warmup_epochs=0", "--data.mels=32"]
    assert main([*STAGE1, *data, *TINY, *once, "--out", str(run)]) == 0
    students = [*STAGE2, *data, *TINY, *once, "--teacher", str(run)]
    assert main([*students, "--out", str(tmp_path / "student")]) == 0
    tuning = [*TUNING, "--init", str(run), *data, *once, "--finetune.mixup=0.8"]
    assert main([*tuning, "--out", str(tmp_path / "tuned")]) == 0
    for name in ("run", "student", "tuned"):
        steps = [row for row in rows(tmp_path / name) if "loss" in row]
        assert steps and all(np.isfinite(row["loss"]) for row in steps)
        assert not lacked(tmp_path / name) & {"cross-0000.mp4", "disc-0001.wav"}
    assert main(["evaluate", str(tmp_path / "tuned"), "--out", str(tmp_path / "scores")]) == 0
    assert json.loads((tmp_path / "scores/scores.json").read_text())["samples"] == 5
    files = [str(uneven / "val"), "--out", str(tmp_path / "figure/a.mp4")]
    assert main(["reconstruct", str(run), *files]) == 0
    capsys.readouterr()
    found = ["retrieve", str(run), "--out", str(tmp_path / "found"), "--workers", "0"]
    assert main(found) == 0
    said = capsys.readouterr().out
    assert "3 of 5 samples scored" in said and all(name in said for name in LACKING[2:])
    probe = ["probe", str(run), *data, "--out", str(tmp_path / "probe"), "--workers", "0"]
    assert main([*probe, "--seeds", "1", "--shots", "1"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in LACKING) and "nan" not in said
    out = tmp_path / "features.parquet"
    assert main(["embed", str(run), *data, "--out", str(out)]) == 0
    table = pq.read_table(out)
    names, vectors = (table.column(name).to_pylist() for name in ("path", "block2_mean"))
    for path, vector in zip(names, vectors, strict=True):
        absent = np.isnan(np.array(vector, float).reshape(2, -1)).all(axis=1)
        name = path.rpartition("/")[2]
        assert absent.tolist() == [
            name in LACKING and ".mp4" in name,
            name in LACKING and ".wav" in name,
        ]


def test_what_lacks_sound_or_pictures_is_left_out_if_asked(uneven, tmp_path, capsys):
    run, data = tmp_path / "run", ["--data.root", str(uneven), "--data.missing=skip"]
    data += ["--data.max_bad_share=0.5"]
    assert main([*STAGE1, *data, *TINY, *BRIEF, "--out", str(run)]) == 0
    assert lacked(run) == set(LACKING)
    out = tmp_path / "features.parquet"
    assert main(["embed", str(run), *data, "--out", str(out)]) == 0
    assert "4 samples skipped" in capsys.readouterr().out
    vectors = np.array(pq.read_table(out).column("block2_mean").to_pylist())
    assert len(vectors) == 11 and np.isfinite(vectors).all()
