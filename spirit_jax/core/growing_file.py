"""Files that grow during a run: appended to on a disk, written again and again as one object in a
bucket.
"""

import contextlib
import os
import sys
import time
from pathlib import Path

from etils import epath

from spirit_jax.core.paths import AnyPath, storage_errors, to_path

UPLOAD_EVERY_S = 60.0  # our choice


def open_growing(path: str | AnyPath) -> "GrowingFile | GrowingObject":
    """The file, to be appended to; created if there is none."""
    path = to_path(path)
    return GrowingFile(path) if isinstance(path, Path) else GrowingObject(path)


class GrowingFile:
    """A file that bytes are appended to without buffering.

    Bytes that cannot be written, for example to a full disk, are kept with a warning and written at the next
    call.
    """

    def __init__(self, path: Path):
        self._path, self._waiting, self._warned = path, b"", False
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115

    def add(self, content: bytes) -> None:
        """Appends `content`, after any bytes that were kept."""
        self._waiting += content
        try:
            while self._waiting:
                self._waiting = self._waiting[self._file.write(self._waiting) :]
        except OSError as error:
            if not self._warned:
                _warn(self._path, error.strerror)
        self._warned = bool(self._waiting)

    def flush(self) -> None:
        """Tries kept bytes once more, and writes through the caches of a mount."""
        self.add(b"")
        with contextlib.suppress(OSError):  # /dev/null and pipes have nothing to write through
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file; kept bytes are tried once more."""
        self.add(b"")
        with contextlib.suppress(OSError):
            self._file.close()


class GrowingObject:
    """The same in a bucket, where nothing can be appended: the whole is kept in memory, and written at most
    every `UPLOAD_EVERY_S` seconds.

    An object that cannot be written is tried again at the next time, with a warning.
    """

    def __init__(self, path: epath.Path):
        self._path, self._warned = path, False
        self._content = bytearray(path.read_bytes() if path.exists() else b"")
        self._written, self._tried_at = len(self._content), time.monotonic()

    def add(self, content: bytes) -> None:
        """Adds `content`, and writes the object if it is time to."""
        self._content += content
        if time.monotonic() - self._tried_at >= UPLOAD_EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Writes the object if there is more to write."""
        if self._written == len(self._content):
            return
        try:
            self._path.write_bytes(bytes(self._content))
            self._written, self._warned = len(self._content), False
        except storage_errors() as error:
            if not self._warned:
                _warn(self._path, error)
            self._warned = True
        self._tried_at = time.monotonic()

    def close(self) -> None:
        """Writes what is not yet written."""
        self.flush()


def _warn(path: AnyPath, reason: object) -> None:
    line = f"warning: {path} cannot be written ({reason}); lines are kept in memory"
    print(line, file=sys.stderr, flush=True)
