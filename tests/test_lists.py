"""Lists as others write them."""

import os
import sys
from functools import partial
from pathlib import Path

import pytest

from maskedae.scanning import Wanted

sys.path.append(str(Path(__file__).parent))
import planting  # noqa: E402
from planting import plant  # noqa: E402

WANTED = Wanted(frozenset({".mp4", ".avi"}), lambda head: False, leaves=frozenset({".jpg"}))


read = partial(planting.read, WANTED)


@pytest.mark.parametrize("suffix", [".txt", ".csv"])
def test_separators(tmp_path, suffix):
    text = "\ufeffa b.mp4 10\r\n\r\nsub/c.mp4  2 \n"
    both = [("a b.mp4", "10"), ("sub/c.mp4", "2")]
    assert read(tmp_path / f"l{suffix}", text, separator=" ") == both
    text = b"a,b \xff.mp4,riding a bike\n/else/c.mp4, walking\n"
    (first, bike), (second, walking) = read(tmp_path / f"m{suffix}", text, separator=",")
    assert os.fsencode(first) == b"a,b \xff.mp4" and bike == "riding a bike"
    assert os.path.join(tmp_path, second) != second and walking == "walking"
    assert os.path.normpath(tmp_path / second) == "/else/c.mp4"


def test_quotes_in_csv_without_head(tmp_path):
    text = '"a,""b"".mp4","jump, run"\nc "d".mp4,sit\n'
    both = [('a,"b".mp4', "jump, run"), ('c "d".mp4', "sit")]
    assert read(tmp_path / "l.csv", text, separator=",") == both


def test_a_head_goes_before_the_separator(tmp_path):
    for text, separator in [
        ("label,path\nx,a b.mp4\n", " "),
        ("label;path\nx;a b.mp4\n", ";"),
        ("\r\nlabel\tpath\r\nx\ta b.mp4\r\n", "\t"),
        ("label,path\rx,a b.mp4\r", "\t"),
    ]:
        assert read(tmp_path / "l.csv", text, separator=separator) == [("a b.mp4", "x")]
    # No head: a name with a blank that begins with the word.
    assert read(tmp_path / "l.csv", "path 1.mp4 3\n", separator=" ") == [("path 1.mp4", "3")]


@pytest.mark.parametrize("separator", [" ", ",", "\t"])
def test_numbers_of_frames_are_dropped(tmp_path, separator):
    plant(tmp_path, "clip/1.jpg", "both/1.jpg", f"both{separator}7/1.jpg", "film.mp4")
    lines = [
        ["clip", "300", "1"],
        ["both", "7", "1"],
        ["film.mp4", "300", "1"],
        ["gone", "300", "1"],
        ["clip", "x", "1"],
        [f"{tmp_path}/clip", "300", "1"],
    ]
    text = "".join(separator.join(line) + "\n" for line in lines)
    found = [name for name, _ in read(tmp_path / "l.txt", text, separator=separator)]
    kept = [separator.join(line[:2]) for line in lines[1:-1]]
    assert found == ["clip", *kept, "clip"]


@pytest.mark.parametrize(
    ("name", "text", "separator", "words"),
    [
        ("l.txt", "\na.mp4 3\nb.mp4 4\n", "\t", "no tab .* 'a.mp4 3'; .* --data.separator=' '"),
        ("l.txt", "a.mp4,jump\n", "\t", "--data.separator=','"),
        ("l.txt", "clips/a 300 3\n", "\t", "--data.separator=' '"),
        ("l.csv", "a.mp4 3\n", "\t", "line names no column 'path', but .*separator=' '"),
        ("l.csv", "a.mp4,3\n", "\t", "'a.mp4', '3'.*--data.separator=','"),
        ("l.txt", "a.mp4 3\n\nb.mp4\n", " ", "line 3: no ' ' in 'b.mp4'"),
        ("l.txt", "a.mp4 3\n", ",", "line 1: no ',' .* --data.separator=' '"),
        ("l.csv", "a.mp4 3\nb.mp4 \n", " ", "line 2: some samples have a label, some have none"),
        ("l.txt", "a.mp4 3\n", "\\t", "one character, not '.*t'"),
    ],
)
def test_a_wrong_separator_is_told_and_the_right_one_named(tmp_path, name, text, separator, words):
    with pytest.raises(ValueError, match=words):
        read(tmp_path / name, text, separator=separator)


def test_paths_alone_are_no_mistake(tmp_path):
    plant(tmp_path, "take 2")
    for line in ("a b.mp4", "take 2", "a,b.mp4", "bare", "1.mp4"):
        assert read(tmp_path / "l.txt", f"{line}\nb.mp4\n") == [line, "b.mp4"]


def test_a_label_may_end_in_a_number(tmp_path):
    assert read(tmp_path / "l.txt", "a.mp4\tclass 3\n") == [("a.mp4", "class 3")]
