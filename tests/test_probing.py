"""Scores of frozen features: equal to scikit-learn, to published values and to brute force."""

import json
import os
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from torch.testing import assert_close

from maskedae import create_model
from maskedae.checkpoints import write_weights
from maskedae.evaluation import Features, knn_accuracies, knn_accuracy
from maskedae.probing.candidates import bare_values, why_unscored
from maskedae.probing.clusters import cluster_scores, matched_accuracy
from maskedae.probing.linear import Labelled, batches, keep_apart, linear_grid
from maskedae.probing.low_shot import STRENGTH, draw, low_shot, settings
from maskedae.probing.spectrum import alpha_req, dispersion, mean_cosine, rank_me

sys.path.append(str(Path(__file__).parent))
from training import RECIPE, write_pictures  # noqa: E402

CPU = torch.device("cpu")


def blobs(count, width=8, classes=4, noise=1.0, seed=0):
    """Classes that overlap a little."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, width, generator=torch.Generator().manual_seed(99))
    labels = torch.arange(count) % classes
    return centres[labels] + noise * torch.randn(count, width, generator=generator), labels


@pytest.mark.parametrize("k", [1, 5, 20])
def test_nearest_neighbours_are_scikit_learn_s(k):
    bank, queries = blobs(200, noise=1.5), blobs(100, noise=1.5, seed=1)
    found = knn_accuracies(Features(*bank, []), Features(*queries, []), [k, 50])
    model = KNeighborsClassifier(k, weights=lambda d: np.exp((1 - d) / 0.07), metric="cosine")
    model.fit(*(x.numpy() for x in bank))
    expected = model.score(*(x.numpy() for x in queries))
    assert found[k] == pytest.approx(expected, abs=1e-9) and 0.3 < expected < 0.99


def test_neighbours_are_no_more_than_there_are():
    bank, queries = Features(*blobs(12), []), Features(*blobs(40, seed=1), [])
    assert list(knn_accuracies(bank, queries, [200, 4, 10, 100])) == [4, 10, 12]
    assert knn_accuracy(bank, queries, 100) == knn_accuracies(bank, queries, [12])[12]
    with pytest.raises(ValueError, match="0 neighbours"):
        knn_accuracies(bank, queries, [0])


def test_the_linear_grid_comes_near_logistic_regression():
    (x, labels), (y, truth) = blobs(800), blobs(400, seed=1)
    noise = torch.randn(1200, 3)
    train = Labelled({"good": x, "noise": noise[:800]}, labels)
    held_out = Labelled({"good": y, "noise": noise[800:]}, truth)
    grid = linear_grid(train, held_out, CPU)
    scaler = StandardScaler().fit(x.numpy())
    model = LogisticRegression().fit(scaler.transform(x.numpy()), labels.numpy())
    expected = model.score(scaler.transform(y.numpy()), truth.numpy())
    assert len(grid.heads) == 26 and grid.chosen.features == "good"
    assert grid.chosen.held_out == pytest.approx(expected, abs=0.02) and 0.7 < expected < 0.99


def test_the_linear_grid_chooses_without_the_held_out_split():
    (x, labels), (y, truth) = blobs(200), blobs(100, seed=1)
    one = linear_grid(
        Labelled({"a": x, "b": x**2}, labels), Labelled({"a": y, "b": y**2}, truth), CPU
    )
    shuffled = truth.roll(1)
    two = linear_grid(
        Labelled({"a": x, "b": x**2}, labels), Labelled({"a": y, "b": y**2}, shuffled), CPU
    )
    assert one.chosen[:3] == two.chosen[:3] and one.chosen.held_out != two.chosen.held_out
    assert one.chosen.validation == max(head.validation for head in one.heads)
    assert (
        one.heads
        == linear_grid(
            Labelled({"a": x, "b": x**2}, labels), Labelled({"a": y, "b": y**2}, truth), CPU
        ).heads
    )


def test_features_of_other_widths_change_no_head():
    (x, labels), (y, truth) = blobs(200), blobs(100, seed=1)
    alone = linear_grid(Labelled({"a": x[:, :5]}, labels), Labelled({"a": y[:, :5]}, truth), CPU)
    both = linear_grid(
        Labelled({"b": x, "a": x[:, :5]}, labels), Labelled({"b": y, "a": y[:, :5]}, truth), CPU
    )
    # Weights begin elsewhere, so a sample or two on the border may fall to the other side.
    for one, other in zip(alone.heads[-6:], both.heads[-6:], strict=True):
        assert one.lr == other.lr and one.held_out == pytest.approx(other.held_out, abs=0.03)


def test_every_class_gives_a_tenth_for_the_choice():
    labels = torch.tensor([0] * 50 + [1] * 7 + [2] * 2 + [3])
    apart = keep_apart(labels)
    assert torch.bincount(labels[apart], minlength=4).tolist() == [5, 1, 1, 0]
    assert apart.equal(keep_apart(labels)) and not apart.equal(keep_apart(labels, seed=1))


def test_batches_deal_every_sample_once_an_epoch():
    drawn = list(batches(1000))
    assert len(drawn) >= 500 and drawn[0][1] == 0 and drawn[-1][1] < 1
    assert torch.cat([numbers for numbers, _ in drawn[:3]]).unique().numel() == 768
    assert [len(numbers) for numbers, _ in batches(5)] == [5] * 500


def test_low_shot_draws_what_labels_can_give():
    labels = torch.tensor([0] * 50 + [1] * 20 + [2] * 8)
    found = settings(labels, [0.01, 0.1], [1, 5, 10])
    assert found == {"10 %": [5, 2, 1], "1 per class": [1] * 3, "5 per class": [5] * 3}
    chosen = draw(labels, [5, 2, 1], seed=0)
    assert labels[chosen].bincount().tolist() == [5, 2, 1] and chosen.unique().numel() == 8
    assert not chosen.equal(draw(labels, [5, 2, 1], seed=1))


@pytest.mark.parametrize("shots", [3, 30])
def test_low_shot_is_logistic_regression(shots):
    """Also where the features are reduced to the span of the few samples."""
    train, held_out = (Features(*blobs(400, 20, seed=seed), []) for seed in (0, 1))
    found = low_shot(train, held_out, [shots] * 4, seeds=3)
    expected = []
    for seed in range(3):
        chosen = draw(train.labels, [shots] * 4, seed)
        centre = train.vectors[chosen].mean(0)
        few, tested = (
            torch.nn.functional.normalize(x - centre, dim=1).numpy()
            for x in (train.vectors[chosen], held_out.vectors)
        )
        model = LogisticRegression(C=STRENGTH, max_iter=5000, fit_intercept=False)
        model.fit(few, train.labels[chosen])
        expected.append(model.score(tested, held_out.labels))
    assert found.accuracies == pytest.approx(expected, abs=0.01)
    assert found.mean == pytest.approx(np.mean(expected), abs=0.01)
    assert found.deviation == pytest.approx(np.std(found.accuracies, ddof=1))


def test_clusters_are_matched_with_classes_as_well_as_can_be():
    rng = np.random.default_rng(0)
    for count in (4, 5):
        labels, clusters = rng.integers(0, 4, 60), rng.integers(0, count, 60)
        best = max(
            np.mean(np.array(order)[clusters] == labels) for order in permutations(range(count))
        )
        assert matched_accuracy(labels, clusters) == pytest.approx(best)


def test_cluster_scores_are_one_for_what_lies_apart():
    features, labels = blobs(80, noise=0.01)
    scores = cluster_scores(features, labels, 4)
    assert scores == pytest.approx({"ACC": 1, "NMI": 1, "ARI": 1})
    assert cluster_scores(torch.randn(80, 8), labels, 4)["ARI"] < 0.2


def test_rank_me_is_the_published_one():
    number = torch.arange(24, dtype=torch.float64)
    assert rank_me((0.7 * number**1.3).sin().view(4, 6)) == pytest.approx(3.56559469, rel=1e-5)


def test_rank_me_counts_dimensions():
    basis = torch.linalg.qr(torch.randn(200, 200))[0]
    assert rank_me(basis[:, :40]) == pytest.approx(40, rel=1e-3)
    assert rank_me(basis[:, :5] @ torch.randn(5, 40)) < 5.1


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_alpha_is_the_exponent_of_the_spectrum(alpha):
    basis = torch.linalg.qr(torch.randn(300, 60).double() - 0)[0]
    basis = torch.linalg.qr(basis - basis.mean(0))[0]  # centred, and orthonormal
    eigenvalues = torch.arange(1, 61).double() ** -alpha
    turned = torch.linalg.qr(torch.randn(60, 60).double())[0]
    features = basis * eigenvalues.sqrt() @ turned + 5
    assert alpha_req(features) == pytest.approx(alpha, abs=1e-3)
    assert np.isnan(alpha_req(torch.randn(3, 8)))


def test_collapse_shows():
    free, same = torch.randn(500, 32), torch.ones(500, 32) + 1e-4 * torch.randn(500, 32)
    assert dispersion(free) == pytest.approx(1, abs=0.01) and dispersion(same) < 1e-3
    assert abs(mean_cosine(free)) < 0.01 and mean_cosine(same) > 0.999
    pair = torch.tensor([[1.0, 0], [0, 1], [3, 0]])
    assert mean_cosine(pair) == pytest.approx(1 / 3)


class Labels:
    """A source that knows its labels only."""

    classes, unlabelled = ("a", "b"), "there are no sub-folders"

    def __init__(self, labels):
        self.labels = labels


def test_only_class_numbers_are_scored():
    numbers = Labels(torch.tensor([0, 1]))
    assert why_unscored({"train": numbers, "held_out": numbers}) == ""
    assert "no sub-folders" in why_unscored({"train": Labels(None)})
    with pytest.raises(ValueError, match="nothing is held out"):
        why_unscored({"train": numbers})
    for labels in (torch.zeros(4, 2, dtype=torch.bool), torch.rand(4)):
        with pytest.raises(ValueError, match="one class number for each sample"):
            why_unscored({"train": Labels(labels), "held_out": Labels(labels)})


@pytest.mark.parametrize(
    ("shape", "width"),
    [((3, 32, 32), 3072), ((3, 224, 224), 3072), ((1, 1024, 128), 1024), ((3, 16, 64, 64), 3072)],
)
def test_bare_values_are_few(shape, width):
    signal = torch.randn(2, *shape)
    assert bare_values(signal).shape == (2, width)
    assert_close(bare_values(signal).mean(1), signal.flatten(1).mean(1), atol=1e-5, rtol=1e-4)


def test_two_processes_score_the_same(tmp_path):
    write_pictures(tmp_path / "pictures")
    settings = {name: value for name, value in RECIPE["model"].items() if name != "name"}
    model = create_model(RECIPE["model"]["name"], **settings)
    write_weights(tmp_path / "model.safetensors", model.state_dict(), RECIPE)
    command = ["probe", str(tmp_path / "model.safetensors"), "--batch_size", "8", "--seeds", "2"]
    command += ["--data.root", str(tmp_path / "pictures"), "--out"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    shared = ["torch.distributed.run", "--nproc_per_node=2"]
    shared += [f"--master_port={29500 + os.getpid() % 1000}", "-m"]
    for out, launch in (("one", []), ("two", shared)):
        run = [sys.executable, "-m", *launch, "maskedae", *command, str(tmp_path / out)]
        done = subprocess.run(run, check=True, env=env, capture_output=True, text=True)
        assert done.stdout.count("kNN, k = 10") == 1
    one, two = (json.loads((tmp_path / out / "scores.json").read_text()) for out in ("one", "two"))
    assert one == two
