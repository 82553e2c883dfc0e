"""Kinetics' own lists."""

import sys
from functools import partial
from pathlib import Path

import pytest

from maskedae.datasets.films.kinetics import kinetics
from maskedae.listing import list_named, open_splits
from maskedae.scanning import Wanted

sys.path.append(str(Path(__file__).parents[1]))
import planting  # noqa: E402
from planting import plant  # noqa: E402

WANTED = Wanted(
    frozenset({".mp4", ".avi"}),
    lambda head: False,
    leaves=frozenset({".jpg"}),
    layouts=(kinetics,),
)
KINETICS = "label,youtube_id,time_start,time_end,split,is_cc\n"


read = partial(planting.read, WANTED)


def test_kinetics(tmp_path):
    plant(tmp_path, "x/riding/-a_B_000002_000012.mp4", "a/-a_B_000002_000012.avi", "-a_B.mp4")
    plant(tmp_path, "val/cd.mp4", "fr_000100_000110/1.jpg", "fr_000100_000110/2.jpg", "ef.txt")
    rows = ["run,-a_B,2,12,train,0", '"sit, up",cd,7.0,17.0,train,1', "run,ef,1,11,train,0"]
    text = KINETICS + "\n".join([*rows, "run,fr,100,110,train,0"]) + "\n"
    expected = [
        ("a/-a_B_000002_000012.avi", "run"),
        ("val/cd.mp4", "sit, up"),
        ("fr_000100_000110", "run"),
    ]
    assert read(tmp_path / "train.csv", text) == expected
    assert read(tmp_path / "train.csv", text, separator=" ") == expected
    train, held_out = open_splits([str(tmp_path / "train.csv")], WANTED, held_out_share=0.0)
    assert train.ignored == {"listed, but not there": 1} and held_out is None
    assert len(list_named([str(tmp_path / "train.csv")], WANTED)) == 3


def test_kinetics_without_labels(tmp_path):
    plant(tmp_path, "a_000001_000011.mp4")
    text = "youtube_id,time_start,time_end,split\na,1,11,test\n"
    assert read(tmp_path / "test.csv", text) == ["a_000001_000011.mp4"]
    assert read(tmp_path / "test.csv", KINETICS + ",a,1,11,test,0\n") == ["a_000001_000011.mp4"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("x,a,1,11,train,0\n", r"such as a_000001_000011 or a, \.avi \.mp4 .*found 1 of other"),
        ("x,b,one,11,train,0\n", r"line 2: \['one', '11'\] are no seconds"),
        ("x,b\n", "line 2: .* are no seconds"),
        ("", "lists no samples"),
    ],
)
def test_kinetics_that_cannot_be_read(tmp_path, rows, words):
    plant(tmp_path, "b.mp4")
    with pytest.raises(ValueError, match=words):
        read(tmp_path / "train.csv", KINETICS + rows)
