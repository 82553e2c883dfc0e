import os

import pytest

from maskedae.doctor.journal import Journal, signature


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"12345")
    return str(path)


def write(folder, path, stamp="me", **facts):
    with Journal(folder, stamp) as journal:
        journal.note(path, {"signature": signature(path), **facts})
    return journal.path


def recall(folder, path, stamp="me", fresh=False):
    with Journal(folder, stamp, fresh) as journal:
        return journal.recall(path)


def test_remembers_what_has_not_changed(tmp_path, file):
    write("x", file, size=[1, 2])
    assert recall("x", file)["size"] == [1, 2]
    assert recall("y", file) is None, "each folder has its own"
    os.utime(file, (1, 1))
    assert recall("x", file) is None


def test_a_file_that_is_gone_is_forgotten(file):
    write("x", file)
    os.remove(file)
    assert recall("x", file) is None


def test_the_last_record_counts(file):
    write("x", file, turn=1)
    write("x", file, turn=2)
    assert recall("x", file)["turn"] == 2


def test_forgets_what_others_wrote_and_what_it_is_told_to(file):
    write("x", file)
    assert recall("x", file, stamp="other") is None
    assert recall("x", file) is None, "the other one started anew"
    write("x", file)
    assert recall("x", file, fresh=True) is None
    assert recall("x", file) is None


@pytest.mark.parametrize("torn", ["", '{"path": "b", "rec', "\0\0\0"])
def test_a_torn_last_line_costs_itself_only(tmp_path, file, torn):
    path = write("x", file, turn=1)
    with open(path, "a") as journal:
        journal.write(torn)
    (tmp_path / "b.png").write_bytes(b"")
    assert recall("x", file)["turn"] == 1
    write("x", str(tmp_path / "b.png"), turn=2)
    assert recall("x", file)["turn"] == 1
    assert recall("x", str(tmp_path / "b.png"))["turn"] == 2


def test_a_garbled_line_costs_itself_only(file):
    path = write("x", file, turn=1)
    with open(path, "a") as journal:
        journal.write("\0\0\0\n")
    assert recall("x", file)["turn"] == 1


def test_a_journal_torn_in_its_first_line_starts_anew(file):
    path = write("x", file)
    path.write_bytes(path.read_bytes()[:5])
    assert recall("x", file) is None
    write("x", file, turn=1)
    assert recall("x", file)["turn"] == 1


def test_any_name(tmp_path):
    path = os.fsdecode(os.path.join(os.fsencode(tmp_path), b'\xff\n".png'))
    open(path, "w").close()
    write("x", path)
    assert recall("x", path)
