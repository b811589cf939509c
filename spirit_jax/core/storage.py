"""What a run needs of the storage under its folder, tried before step 0.

Files are written whole, appended to, replaced, listed and removed. Folders are never renamed: a mounted
bucket without a hierarchy may refuse that, and elsewhere copies file by file.
"""

import contextlib
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from etils import epath

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import nearest_existing, write_bytes
from spirit_jax.core.growing_file import GrowingFile
from spirit_jax.core.paths import AnyPath, storage_errors, to_path

Attempt = tuple[str, Callable[[], object]]  # what is tried, in words, and as a function


def check_storage(folder: str | AnyPath, what: str) -> None:
    """Raises a UserError, naming what failed, where a run can't write what it has to below `folder`.

    Leaves nothing behind.
    """
    path = to_path(folder)
    name = f".probe_{socket.gethostname()}_{os.getpid()}"
    if isinstance(path, Path):
        probe = nearest_existing(path) / name
        attempts = _on_disk(probe)
        fix = "use gs://BUCKET/NAME in place of a mounted bucket, or a local disk"
    else:
        probe = path / name
        attempts = _in_bucket(probe)
        fix = "check the bucket's name, your permissions and gcloud auth application-default login"
    for doing, attempt in attempts:
        try:
            attempt()
        except storage_errors() as error:
            with contextlib.suppress(*storage_errors()):
                remove_folder(probe)
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise UserError(what, folder, f"is on storage that can't {doing} ({reason})", fix) from error


def remove_folder(folder: AnyPath) -> None:
    """Removes a folder with all that is in it, if it is there."""
    if isinstance(folder, Path):
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.exists():
        folder.rmtree()


def _on_disk(probe: Path) -> list[Attempt]:
    file, other = probe / "file", probe / "other"

    def append() -> None:
        for content in (b"a", b"b"):  # opened again, as a resumed run does
            grown = GrowingFile(probe / "grown")
            grown.add(content)
            grown.close()

    def replace() -> None:
        other.write_bytes(b"new")
        os.replace(other, file)

    def read() -> None:
        found = {path.name: path.read_bytes() for path in probe.iterdir()}
        if found != {"file": b"new", "grown": b"ab"}:
            raise OSError(f"there is {found}")

    return [
        ("make a folder", probe.mkdir),
        ("write a file", lambda: write_bytes(file, b"old")),
        ("append to a file", append),
        ("replace a file by another", replace),
        ("read what was written", read),
        ("remove a folder", lambda: shutil.rmtree(probe)),
    ]


def _in_bucket(probe: epath.Path) -> list[Attempt]:
    file = probe / "file"

    def read() -> None:
        found = {path.name: path.read_bytes() for path in probe.iterdir()}
        if found != {"file": b"new"}:
            raise OSError(f"there is {found}")

    def show_bucket() -> None:
        """As Orbax does before it removes an old checkpoint; needs storage.buckets.get."""
        from google.cloud import storage

        storage.Client().get_bucket(probe.parts[2])

    return [
        ("show its bucket", show_bucket),
        ("write an object", lambda: write_bytes(file, b"old")),
        ("replace an object", lambda: write_bytes(file, b"new")),
        ("read what was written", read),
        ("remove objects", probe.rmtree),
    ]
