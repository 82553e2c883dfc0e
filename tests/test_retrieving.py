"""What is compared in a retrieval, what is left out, and what is told and drawn of it."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch.testing import assert_close

from maskedae import create_model
from maskedae.data import BadSample
from maskedae.loading import Skipped
from maskedae.pairs import Pair
from maskedae.pictures import GAP
from maskedae.retrieval import both_ways, chance, measure
from maskedae.retrieving.collecting import choose, collect, encoded, join, vectors_of
from maskedae.retrieving.neighbours import (
    BORDER,
    LOW,
    NEAREST,
    Way,
    choose_rows,
    draw_neighbours,
    framed,
    panels,
    sheet_of,
    spectrogram,
)
from maskedae.retrieving.report import Scores, counted, table, write_scores

sys.path.append(str(Path(__file__).parent))
from pairing import mavil, pair  # noqa: E402

COUNT, VIEWS, BROKEN = 11, 2, 4
# Of every view: film 1 is silent, 2 is heard alone, 3 is neither; 5 has sound in one view only.
HEARD = torch.ones(VIEWS, COUNT, dtype=torch.bool)
SEEN = HEARD.clone()
HEARD[:, [1, 3]] = SEEN[:, [2, 3]] = HEARD[0, 5] = False
PAIRS = [0, 5, 6, 7, 8, 9, 10]
SOUNDS = torch.rand(VIEWS, COUNT, 6, 4)
CLIPS = torch.randint(256, (VIEWS, COUNT, 3, 2, 20, 40), dtype=torch.uint8)


class Films:
    """A source of films by chance, and their data; what is absent is garbage."""

    shape, spans, unlabelled = (VIEWS, 1, 50), None, ""
    labels = torch.arange(COUNT) % 2

    def __init__(self, garbage=0.0):
        self.garbage = garbage

    def __len__(self):
        return COUNT

    def name(self, index):
        return f"films/{index}.mp4"

    def read(self, index):
        if index == BROKEN:
            raise BadSample("no film at all")
        heard, seen = HEARD[:, index], SEEN[:, index]
        sound = SOUNDS[:, index]
        sound = sound.where(heard[:, None, None], sound * self.garbage)
        clip = CLIPS[:, index].where(seen[:, None, None, None, None], int(self.garbage > 0))
        return Pair(sound, clip, heard, seen)

    def signal(self, pair, noise=None):
        return Pair(pair.audio.unsqueeze(1), pair.video.float() / 255, pair.heard, pair.seen)


def code(pair):
    """A sound is its values, a clip its mean colours and more; NaN where they are absent."""
    audio, video = pair.audio.flatten(1)[:, :5], pair.video.mean(dim=(3, 4))[:, :, 0]
    video = torch.cat([video, video[:, :2]], dim=1)
    return (
        audio.masked_fill(~pair.heard[:, None], torch.nan),
        video.masked_fill(~pair.seen[:, None], torch.nan),
    )


def collected(batch_size=3, garbage=0.0, indices=range(COUNT)):
    films = Films(garbage)
    return collect({"code": code}, films, films, list(indices), batch_size, workers=0)


def test_only_films_of_both_kinds_are_compared():
    found = collected()
    assert found.indices == PAIRS
    assert [tuple(row) for row in found.lacking] == [
        ("films/1.mp4", "no sound"),
        ("films/2.mp4", "no pictures"),
        ("films/3.mp4", "neither"),
    ]
    assert found.skipped == [Skipped("films/4.mp4", "no film at all")]
    audio, video = found.vectors["code"]
    assert audio.shape == video.shape == (7, 5)
    expected = SOUNDS[:, PAIRS].flatten(2)[..., :5].mean(0)
    expected[1] = SOUNDS[1, 5].flatten()[:5]  # the one view that has sound
    assert_close(audio, expected)
    assert_close(video[:, :3], (CLIPS[:, PAIRS, :, 0].float() / 255).mean(dim=(0, 3, 4)))


@pytest.mark.parametrize("garbage", [1e9, torch.nan])
def test_what_is_absent_changes_nothing(garbage):
    for one, other in zip(*(collected(2, g).vectors["code"] for g in (0, garbage)), strict=True):
        assert one.equal(other)


def test_neither_batches_nor_shares_change_anything():
    whole = collected()
    shares = [collected(2, indices=range(start, COUNT, 3)) for start in range(3)]
    for found in (collected(11), join(shares), join([*shares, collected(indices=[])])):
        assert found.indices == whole.indices
        assert sorted(found.lacking) == whole.lacking and found.skipped == whole.skipped
        for one, other in zip(found.vectors["code"], whole.vectors["code"], strict=True):
            assert_close(one, other)
    assert join([collected(indices=[3]), collected(indices=[4])]).vectors == {}


def test_so_many_of_each_class():
    films = Films()
    assert choose(films, None) == list(range(COUNT))
    assert choose(films, 2) == [0, 1, 9, 10]
    assert choose(films, 100) == list(range(COUNT))
    films.labels = torch.rand(COUNT, 2) > 0.5
    for wrong, said in ((0, "1 or more"), (5, "one class for each")):
        with pytest.raises(ValueError, match=said):
            choose(films, wrong)


def test_an_encoder_of_one_kind_finds_nothing(tiny):
    model = create_model("mae_vit_tiny_patch16", **tiny)
    with pytest.raises(ValueError, match="of mae_vit_tiny_patch16 sees signals of one kind"):
        vectors_of(model.encoder, "mae_vit_tiny_patch16")


def test_what_was_tuned_to_answer_no_longer_compares():
    encoder = mavil().encoder
    assert vectors_of(encoder, "mavil")(pair())[0].isfinite().all()
    encoder.reset_classifier(3)
    with pytest.raises(ValueError, match="the checkpoint that the tuning started from would fit"):
        vectors_of(encoder, "mavil")


def scores():
    places = both_ways(torch.randn(20, 4), torch.randn(20, 4))
    return {"one": Scores(*map(measure, places)), "chance": Scores(chance(20), chance(20))}


def test_scores_are_told_and_written(tmp_path):
    found = scores()
    console = Console(width=80, record=True, quiet=False, file=(tmp_path / "said").open("w"))
    console.print(table(found))
    said = console.export_text()
    row = next(line for line in said.splitlines() if "chance" in line)
    assert row.split() == ["chance", *["5.0", "25.0", "50.0", "10.5"] * 2]
    write_scores(tmp_path, found, {"scored": 20})
    node = json.loads((tmp_path / "scores.json").read_text())
    assert node["scored"] == 20
    ways = node["candidates"]["chance"]
    assert ways["audio to video"] == ways["video to audio"]
    assert ways["audio to video"] == {"R@1": 0.05, "R@5": 0.25, "R@10": 0.5, "median rank": 10.5}
    one = node["candidates"]["one"]["video to audio"]
    assert one["median rank"] == found["one"].by_video.median
    assert counted([], []) == ""


def test_the_right_one_is_marked_wherever_it_stands():
    turned = torch.eye(9).roll(1, dims=0)  # the sound of each film is that of the next one
    turned[0] = torch.eye(9)[0]  # but for the first
    places = both_ways(turned, torch.eye(9))
    ways = [
        Way("sound", turned, torch.eye(9), places[0]),
        Way("pictures", torch.eye(9), turned, places[1]),
    ]
    rows = choose_rows(ways[0])
    assert [row.query for row in rows] == [0, 1, 3, 4, 6, 8]
    assert rows[0].shown[0] == 0 and rows[0].rank == 1
    assert rows[-1].shown == [7, 0, 1, 2, 3, 8] and rows[-1].rank == 5.5
    assert all(len(row.shown) in (NEAREST, NEAREST + 1) for row in rows)
    films = Films()
    found = panels(films, films, [0, 1, 2, 4], 2, 0)
    assert found.keys() == {0, 1, 2}
    assert found[0].dtype == torch.uint8 and found[0].shape[1:] == (128, 3)
    assert found[1][:64].any() and not found[2][:64].any()  # pictures, and none
    garbage = panels(films, Films(9.0), [1, 2], 2, 0)
    assert all(garbage[index].equal(found[index]) for index in garbage)
    assert found[0][64:].unique(dim=0).shape[0] > 1
    green = np.array([0x1A, 0x7F, 0x37], np.uint8)
    sheets = [
        np.asarray(sheet_of([row], films, list(range(COUNT)), found, "note"))
        for row in (rows[0], rows[-1])
    ]
    for sheet, column in zip(sheets, (1, 6), strict=True):
        where = np.argwhere((sheet == green).all(-1))
        assert np.ptp(where[:, 1]) < 128 + 2 * BORDER
        assert where[:, 1].min() // (128 + 2 * BORDER + 2 + GAP) == column
    assert sheets[1].shape[1] > sheets[0].shape[1]  # one more, which is the right one
    assert framed(found[0], "#1a7f37")[0, 0].tolist() == green.tolist()
    whole = draw_neighbours(ways, films, films, PAIRS + [1, 2], 3, 0)
    assert whole.width > 2 * sheets[0].shape[1] * 0.9 and whole.height > 5 * 128


def test_a_spectrogram_ends_with_the_sound():
    sound = torch.zeros(1, 90, 8)
    sound[0, :30] = torch.rand(30, 8)
    assert spectrogram(sound, 60).equal(spectrogram(sound[:, :30], 60))
    silent = spectrogram(torch.full((1, 90, 8), torch.nan), 60)
    assert silent.shape == (LOW, 60, 3) and silent.unique(dim=0).shape[0] == 1
    tone = torch.zeros(1, 10, 8)
    tone[0, :, 0] = 1  # the lowest band is drawn at the bottom
    assert (spectrogram(tone, 60)[-1].sum(-1) > spectrogram(tone, 60)[0].sum(-1)).all()


def test_a_batch_of_nothing_brings_nothing():
    films = Films()
    batch = type("Batch", (), {"samples": None, "skipped": [Skipped("a", "b")]})
    assert encoded(batch, {}, films, films).skipped == [Skipped("a", "b")]
