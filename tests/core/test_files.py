"""Atomic writing, JSON lines and checks of paths."""

import contextlib

import pytest

from spirit_jax.core import files
from spirit_jax.core.errors import UserError
from tests.storages.flat_mount import refuse_folder_renames


def test_failure_leaves_the_old_file_and_no_temporary_one(tmp_path):
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


def test_a_file_never_replaces_a_folder(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/precious").write_text("")
    with pytest.raises(IsADirectoryError, match="a folder has the name"):
        files.write_json(tmp_path / "run", {})
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "precious"]
    with pytest.raises(UserError, match="name a file, for example"):
        files.require_output_file(tmp_path / "run", "--out")
    assert files.require_output_file(tmp_path / "new.json", "--out") == tmp_path / "new.json"


def test_jsonl_round_trip_and_broken_line(tmp_path):
    rows = [{"a": 1}, {"b": "ü"}]
    assert files.write_jsonl(tmp_path / "x.jsonl", iter(rows)) == 2
    assert list(files.read_jsonl(tmp_path / "x.jsonl")) == rows
    (tmp_path / "y.jsonl").write_text('{"a": 1}\n{oops\n')
    with pytest.raises(UserError, match="line 2"):
        list(files.read_jsonl(tmp_path / "y.jsonl"))
    (tmp_path / "n.jsonl").write_text('{"a": 1}\n[1]\n')
    with pytest.raises(UserError, match=r"line 2 .* must be a JSON object, not a list"):
        list(files.read_jsonl(tmp_path / "n.jsonl"))
    (tmp_path / "z.jsonl").write_text('{"text": "\\u0416 \\ud83d\\ude00"}\n{"text": "half of \\ud83d"}\n')
    with pytest.raises(UserError, match="line 2"):
        list(files.read_jsonl(tmp_path / "z.jsonl"))


def test_a_folder_for_output_is_checked_first(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.wav").write_text("precious")
    for name in ("full", "new/deeper"):
        assert files.require_output_folder(tmp_path / name, "--out") == tmp_path / name
    for name, known_by, says in (
        ("full", "codec.json", "other things"),
        ("full/mine.wav", None, "is a file"),
        ("full/mine.wav/x", None, "is a file"),
    ):
        with pytest.raises(UserError, match=says):
            files.require_output_folder(tmp_path / name, "--out", known_by)
    (tmp_path / "full/codec.json").write_text("{}")
    files.require_output_folder(tmp_path / "full", "--out", "codec.json")
    assert not (tmp_path / "new").exists()


def test_storage_that_cannot_rename_folders_is_refused_for_folders_that_are_written_whole(
    tmp_path, monkeypatch
):
    refuse_folder_renames(monkeypatch)
    files.require_output_folder(tmp_path / "new/run", "--out")
    with pytest.raises(UserError, match=r"can't rename a folder .*write to a local disk, then copy"):
        files.require_output_folder(tmp_path / "new/codec", "--out", "codec.json")
    assert not list(tmp_path.iterdir())


def test_fingerprint_keeps_parts_apart():
    assert files.fingerprint(b"ab", b"c") != files.fingerprint(b"a", b"bc")


def test_a_path_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    assert files.require_writable(tmp_path / "a/b/c") == tmp_path / "a/b/c"
    assert files.require_writable(tmp_path / "file") == tmp_path / "file"
    with pytest.raises(UserError, match="is not a folder"):
        files.require_writable(tmp_path / "file/sub")
