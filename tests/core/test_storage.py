"""Storage that a run can use, and storage that it can't."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from spirit_jax.core import storage
from spirit_jax.core.errors import UserError
from spirit_jax.core.growing_file import GrowingFile
from spirit_jax.core.paths import to_path
from spirit_jax.core.storage import check_storage
from tests.storages.flat_mount import refuse_folder_renames


def test_a_disk_passes_and_is_left_as_it_was(tmp_path):
    check_storage(tmp_path / "new/run", "run folder")
    assert not list(tmp_path.iterdir())


def test_a_mount_that_refuses_to_rename_folders_passes(tmp_path, monkeypatch):
    refuse_folder_renames(monkeypatch)
    check_storage(tmp_path / "run", "run folder")


def fail(*_: object, **__: object):
    raise OSError(errno.ENOTSUP, "not supported")


def keep_nothing(self, content: bytes) -> None:
    """Appending that replaces what was there."""
    self._path.write_bytes(content)


LACKS = {
    "make a folder": (Path, "mkdir", fail),
    "append to a file": (GrowingFile, "__init__", fail),
    "replace a file by another": (os, "replace", fail),
    "read what was written": (GrowingFile, "add", keep_nothing),
    "remove a folder": (shutil, "rmtree", fail),
}


@pytest.mark.parametrize("lack", LACKS)
def test_a_mount_is_refused_with_what_it_lacks_and_the_fix(tmp_path, monkeypatch, lack):
    owner, name, broken = LACKS[lack]
    monkeypatch.setattr(owner, name, broken)
    if owner in (os, shutil):  # which writing a whole file uses too
        monkeypatch.setattr(storage, "write_bytes", lambda path, content: path.write_bytes(content))
    with pytest.raises(UserError, match=rf"can't {lack} .*use gs://BUCKET/NAME"):
        check_storage(tmp_path / "run", "run folder")
    assert not list(tmp_path.iterdir()) or owner is shutil


def test_a_bucket_passes_and_is_left_empty(bucket):
    check_storage(bucket / "runs/first", "run folder")
    assert not list(bucket.iterdir())


def test_a_bucket_that_is_not_there_is_refused(bucket):
    nowhere = to_path(f"gs://no-{bucket.parts[2]}") / "run"
    with pytest.raises(UserError, match="can't show its bucket .*check the bucket's name, your permissions"):
        check_storage(nowhere, "run folder")
