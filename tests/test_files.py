"""A file is written whole or not at all."""

import contextlib

import pytest

from spirit_jax import files
from spirit_jax.errors import UserError


def test_failure_leaves_the_old_file_and_no_litter(tmp_path):
    files.write_text(tmp_path / "a", "old")
    with contextlib.suppress(RuntimeError), files.write_atomically(tmp_path / "a") as partial:
        partial.write_text("half")
        raise RuntimeError
    assert (tmp_path / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_is_replaced_whole(tmp_path):
    for name in ("one", "two"):
        with files.write_atomically(tmp_path / "d") as partial:
            partial.mkdir()
            (partial / name).write_text(name)
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["two"]
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_jsonl_round_trip_and_broken_line(tmp_path):
    rows = [{"a": 1}, {"b": "ü"}]
    assert files.write_jsonl(tmp_path / "x.jsonl", iter(rows)) == 2
    assert list(files.read_jsonl(tmp_path / "x.jsonl")) == rows
    (tmp_path / "y.jsonl").write_text('{"a": 1}\n{oops\n')
    with pytest.raises(UserError, match="line 2"):
        list(files.read_jsonl(tmp_path / "y.jsonl"))


def test_a_place_for_output(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.wav").write_text("precious")
    for name in ("full", "new/deeper"):
        assert files.require_place(tmp_path / name, "--out") == tmp_path / name
    for name, mark, says in (("full", "codec.json", "other things"), ("full/mine.wav", None, "is a file"), ("full/mine.wav/x", None, "is a file")):
        with pytest.raises(UserError, match=says):
            files.require_place(tmp_path / name, "--out", mark)
    (tmp_path / "full/codec.json").write_text("{}")
    files.require_place(tmp_path / "full", "--out", "codec.json")
    assert not (tmp_path / "new").exists()


def test_fingerprint_keeps_parts_apart():
    assert files.fingerprint(b"ab", b"c") != files.fingerprint(b"a", b"bc")
