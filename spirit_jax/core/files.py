"""Files that are whole or absent, and JSON lines."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from spirit_jax.core.errors import UserError


@contextlib.contextmanager
def write_atomically(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, a file or folder for the caller to make; moves it into place on
    success.

    An exception leaves the old `path` as it was. An existing folder is replaced by a folder; a file in its
    place is an IsADirectoryError.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    room = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    try:
        partial = room / path.name
        yield partial
        if path.is_dir() and not path.is_symlink():
            if not partial.is_dir():
                raise IsADirectoryError(errno.EISDIR, "a folder is where a file is to be written", str(path))
            path.rename(room / "replaced")
        os.replace(partial, path)
    finally:
        shutil.rmtree(room, ignore_errors=True)


def drop_partials(folder: Path, name: str) -> None:
    """Removes what killed writers of `name` (a pattern) left in `folder`; nobody else may be
    writing there.
    """
    for left in folder.glob(f".{name}.*.partial"):
        shutil.rmtree(left)


def write_text(path: str | Path, text: str) -> None:
    """Writes a UTF-8 file whole or not at all."""
    with write_atomically(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: object) -> None:
    """Writes indented JSON whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> dict:
    """Reads a JSON object; a file that is none is a UserError."""
    content = require_file(path, "JSON file").read_bytes()
    try:
        values = json.loads(content.decode("utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError("JSON file", path, f"must parse ({error})", "mend or regenerate it") from error
    if not isinstance(values, dict):
        raise UserError(
            "JSON file", path, f"must hold an object, not a {type(values).__name__}", "mend or regenerate it"
        )
    return values


def write_jsonl(path: str | Path, rows: Iterable[dict]) -> int:
    """Writes one JSON object a line, whole or not at all; returns the number of rows."""
    count = 0
    with write_atomically(path) as partial, open(partial, "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count


def read_jsonl(path: str | Path) -> Iterator[dict]:
    """Yields the objects of a JSON-lines file; a broken line, or one that is no object, is a UserError naming
    its number.
    """
    with open(require_file(path, "JSON-lines file"), "rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                value = json.loads(line.decode("utf-8-sig"))
                if b"\\u" in line:  # an escape may be half of a character
                    json.dumps(value, ensure_ascii=False).encode()
            except (json.JSONDecodeError, UnicodeError) as error:
                raise UserError(
                    f"{path} line {number}",
                    repr(line[:40]),
                    f"must be JSON in UTF-8 ({error})",
                    "mend the line",
                ) from error
            if not isinstance(value, dict):
                raise UserError(
                    f"{path} line {number}",
                    repr(line[:40]),
                    f"must be a JSON object, not a {type(value).__name__}",
                    "mend the line",
                )
            yield value


class GrowingFile:
    """A file to which bytes are added at once. What can't be written (a full disk) waits for the next time,
    with a warning: no exception, no gap.
    """

    def __init__(self, path: str | Path):
        self._path, self._waiting, self._warned = path, b"", False
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115

    def add(self, content: bytes) -> None:
        """Writes what waits, then this."""
        self._waiting += content
        try:
            while self._waiting:
                self._waiting = self._waiting[self._file.write(self._waiting) :]
        except OSError as error:
            if not self._warned:
                print(
                    f"warning: {self._path} can't be written to ({error.strerror}); what is to come waits",
                    file=sys.stderr,
                    flush=True,
                )
        self._warned = bool(self._waiting)

    def close(self) -> None:
        """Writes what waits, if it can."""
        self.add(b"")
        with contextlib.suppress(OSError):
            self._file.close()


def require_file(path: str | Path, what: str) -> Path:
    """The path, or a UserError if no file is there."""
    if not Path(path).is_file():
        raise UserError(what, path, "no such file", "check the path")
    return Path(path)


def require_folder(path: str | Path, what: str) -> Path:
    """The path, or a UserError if no folder is there."""
    if not Path(path).is_dir():
        raise UserError(what, path, "no such folder", "check the path")
    return Path(path)


def require_output_folder(path: str | Path, what: str, mark: str | None = None) -> Path:
    """The path, or a UserError if nothing can be written there: a file is in the way, or a folder that may
    not be written to.

    mark: a file that is in every folder of this kind; what is there already is replaced only if it is empty
    or has it.
    """
    path = Path(path)
    if mark is not None and path.is_dir() and not (path / mark).is_file() and any(path.iterdir()):
        raise UserError(
            what, path, f"is a folder of other things, without a {mark}", "name an empty or a new folder"
        )
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not there.is_dir():
        raise UserError(what, path, f"{there} is a file", "name a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(
            what, path, f"{there} may not be written to", "name another folder, or change its permissions"
        )
    return path


def require_output_file(path: str | Path, what: str) -> Path:
    """The path, or a UserError if a folder is there already."""
    if Path(path).is_dir():
        raise UserError(what, path, "is a folder", f"name a file, for example {Path(path) / 'new'}")
    return Path(path)


def require_writable(path: str | Path) -> Path:
    """The path, or a UserError if neither it nor a file or folder below it could be made: a file is in its
    way, or no permission.
    """
    nearest = next(
        place for place in (Path(path).absolute(), *Path(path).absolute().parents) if place.exists()
    )
    if nearest != Path(path).absolute() and not nearest.is_dir():
        raise UserError("output", path, f"{nearest} is no folder", "choose another place")
    if not os.access(nearest, os.W_OK):
        raise UserError(
            "output", path, f"{nearest} can't be written", "choose another place, or change its permissions"
        )
    return Path(path)


def fingerprint(*parts: bytes) -> str:
    """A short name for content: the first 16 hex digits of SHA-256 over length-prefixed parts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:16]
