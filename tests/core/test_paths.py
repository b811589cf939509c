import sys
from pathlib import Path

import pytest

from spirit_jax.core import files, paths
from spirit_jax.core.errors import UserError


def test_a_path_keeps_its_place():
    assert paths.to_path("a/b") == Path("a/b")
    assert isinstance(paths.to_path("a/b"), Path)
    inside = paths.to_path("gs://bucket/runs") / "first"
    assert (
        str(inside) == str(paths.to_path(inside)) == str(paths.resolved(inside)) == "gs://bucket/runs/first"
    )
    assert paths.in_bucket(inside)
    assert not paths.in_bucket(Path("gs"))


@pytest.mark.parametrize("path", ["s3://bucket/x", "gs://", "gs:///x", Path("gs://bucket/x")])
def test_what_is_neither_local_nor_in_a_bucket_is_refused(path):
    with pytest.raises(UserError, match="write gs://BUCKET/NAME"):
        paths.to_path(path)


@pytest.mark.parametrize("path", ["gs://bucket/x", Path("gs://bucket/x")])
def test_what_must_be_local_is_refused_in_a_bucket(path, tmp_path, monkeypatch):
    """Before a folder named `gs:` is made."""
    monkeypatch.chdir(tmp_path)
    checks = (
        files.require_file,
        files.require_folder,
        files.require_output_folder,
        files.require_output_file,
        lambda path, what: files.require_writable(path),
    )
    for check in checks:
        with pytest.raises(UserError, match=r"must be on this machine.*gcloud storage cp"):
            check(path, "it")
    assert not list(tmp_path.iterdir())


def test_without_gcsfs_the_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(UserError, match="pip install -r requirements-gcs.txt"):
        paths.to_path("gs://bucket/x")


def test_json_that_goes_while_it_is_read_counts_as_missing(tmp_path, monkeypatch):
    """A trainer deletes old checkpoints while another process lists them."""
    files.write_json(tmp_path / "a.json", {"ü": [1]})

    def go(path):
        path.unlink()
        raise FileNotFoundError(path)

    monkeypatch.setattr(type(files.to_path(tmp_path)), "read_bytes", go)
    assert files.read_optional_json(tmp_path / "a.json") == {}


def test_files_in_a_bucket_are_written_and_read_as_on_a_disk(bucket):
    files.write_json(bucket / "a/b.json", {"ü": [1]})
    files.write_json(bucket / "a/b.json", {"ü": [2]})
    files.write_text(bucket / "a/c.jsonl", '{"x": 1}\n{"x": 2}\n')
    assert files.read_json(bucket / "a/b.json") == {"ü": [2]}
    assert list(files.read_jsonl(str(bucket / "a/c.jsonl"))) == [{"x": 1}, {"x": 2}]
    assert files.existing_folder(bucket / "a", "it") == bucket / "a"
    assert files.read_optional_json(bucket / "a/none.json") == {}
    with pytest.raises(UserError, match="no such file"):
        files.read_json(bucket / "a/none.json")


def test_a_folder_is_copied_with_its_last_file_last(bucket, tmp_path, monkeypatch):
    for name in ("b/c", "a", "z"):
        files.write_text(tmp_path / "from" / name, name)
    written, write = [], files.write_bytes
    monkeypatch.setattr(
        files, "write_bytes", lambda path, content: written.append(path.name) or write(path, content)
    )
    files.copy_files(tmp_path / "from", bucket / "to", last="a")
    assert written == ["c", "z", "a"]
    files.copy_files(bucket / "to", tmp_path / "back")
    assert {path.name: path.read_text() for path in files._files(tmp_path / "back")} == {
        "a": "a",
        "c": "b/c",
        "z": "z",
    }
