"""Atomic writing, JSON and JSON lines, and checks of paths before work begins.

An object of a bucket is written whole or not at all by itself.
"""

import codecs
import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from spirit_jax.core.errors import UserError
from spirit_jax.core.paths import AnyPath, in_bucket, require_local, to_path
from spirit_jax.core.stored_files import stream_lines


@contextlib.contextmanager
def write_atomically(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path where the caller writes a file or folder; on success it becomes `path`.

    After an exception `path` is as before. A folder replaces an existing folder; IsADirectoryError for a file
    that would replace a folder.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    try:
        partial = temporary / path.name
        yield partial
        if path.is_dir() and not path.is_symlink():
            if not partial.is_dir():
                raise IsADirectoryError(
                    errno.EISDIR, "a folder has the name of the file to be written", str(path)
                )
            path.rename(temporary / "replaced")
        os.replace(partial, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def drop_partials(folder: Path, name: str) -> None:
    """Removes temporary files that killed writers of `name` (a pattern) left in `folder`.

    No other process may be writing there.
    """
    for left in folder.glob(f".{name}.*.partial"):
        shutil.rmtree(left)


def write_bytes(path: str | AnyPath, content: bytes) -> None:
    """Writes a file atomically."""
    if in_bucket(path):
        to_path(path).write_bytes(content)
        return
    with write_atomically(Path(path)) as partial:
        partial.write_bytes(content)


def write_text(path: str | AnyPath, text: str) -> None:
    """Writes a UTF-8 file atomically."""
    write_bytes(path, text.encode())


def copy_files(source: AnyPath, target: AnyPath, last: str = "") -> None:
    """Copies a folder's files into another folder one by one, the one named `last` after the others."""
    found = [path for path in _files(source) if path.name != last]
    for path in [*found, *([source / last] if last else [])]:
        write_bytes(target / path.relative_to(source), path.read_bytes())


def _files(folder: AnyPath) -> Iterator[AnyPath]:
    """All files in a folder and the folders below it."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from _files(path)
        else:
            yield path


def write_json(path: str | AnyPath, value: object) -> None:
    """Writes indented JSON atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | AnyPath) -> dict:
    """Reads a JSON object. UserError for any other file."""
    content = existing_file(path, "JSON file").read_bytes()
    try:
        values = json.loads(content.decode("utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError("JSON file", path, f"must parse ({error})", "correct it or make it again") from error
    if not isinstance(values, dict):
        raise UserError(
            "JSON file",
            path,
            f"must be an object, not a {type(values).__name__}",
            "correct it or make it again",
        )
    return values


def read_optional_json(path: str | AnyPath) -> dict:
    """Reads a JSON object; an empty one if there is no such file, or if it goes before it is read."""
    path = to_path(path)
    try:
        return read_json(path) if path.is_file() else {}
    except FileNotFoundError:  # a run that keeps few checkpoints deletes the others
        return {}


def write_jsonl(path: str | Path, rows: Iterable[dict]) -> int:
    """Writes one JSON object a line, atomically; returns the number of rows."""
    count = 0
    with write_atomically(path) as partial, open(partial, "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count


def read_jsonl(path: str | AnyPath) -> Iterator[dict]:
    """Yields the objects of a JSON-lines file. UserError with the number of a line that is no JSON object."""
    for _, value in parse_lines(path):
        if isinstance(value, UserError):
            raise value
        yield value


def parse_lines(path: str | AnyPath) -> Iterator[tuple[int, dict | UserError]]:
    """Yields the number of each line of a JSON-lines file that is not blank, with its object, or with the
    error of a line that is no JSON object. The file may be compressed or remote (`stored_files`).
    """
    for number, line in stream_lines(path, "JSON-lines file"):
        if not line.isspace():
            yield number, _parse_line(line, f"{path} line {number}")


def _parse_line(line: bytes, where: str) -> dict | UserError:
    try:
        value = json.loads(line.removeprefix(codecs.BOM_UTF8).decode())
        if b"\\" in line and b"\\u" in line:  # an escape may be half of a character; one byte is found faster
            json.dumps(value, ensure_ascii=False).encode()
    except (json.JSONDecodeError, UnicodeError, RecursionError) as error:
        return UserError(where, repr(line[:40]), f"must be JSON in UTF-8 ({error})", "correct the line")
    if isinstance(value, dict):
        return value
    rule = f"must be a JSON object, not a {type(value).__name__}"
    return UserError(where, repr(line[:40]), rule, "correct the line")


def existing_file(path: str | AnyPath, what: str) -> AnyPath:
    """The path, on this machine or in a bucket. UserError if it is not a file."""
    if not to_path(path).is_file():
        raise UserError(what, path, "no such file", "check the path")
    return to_path(path)


def existing_folder(path: str | AnyPath, what: str) -> AnyPath:
    """The path, on this machine or in a bucket. UserError if it is not a folder."""
    if not to_path(path).is_dir():
        raise UserError(what, path, "no such folder", "check the path")
    return to_path(path)


def require_file(path: str | Path, what: str) -> Path:
    """The path on this machine. UserError if it is not a file."""
    return Path(existing_file(require_local(path, what), what))


def require_torch(path: str | Path) -> Any:
    """The torch module, to read a torch file. UserError that names the file where PyTorch isn't installed."""
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        rule, fix = "a torch file needs PyTorch to be read", "pip install -r requirements-parity.txt"
        raise UserError("weight file", path, rule, fix) from error
    return torch


def require_folder(path: str | Path, what: str) -> Path:
    """The path on this machine. UserError if it is not a folder."""
    return Path(existing_folder(require_local(path, what), what))


def require_output_folder(path: str | Path, what: str, known_by: str | None = None) -> Path:
    """The path on this machine. UserError if no folder can be written there.

    known_by: a file that every folder of this kind has, which is written whole. An existing folder without it
    must be empty, so that other files are not replaced.
    """
    path = require_local(path, what)
    if known_by is not None and path.is_dir() and not (path / known_by).is_file() and any(path.iterdir()):
        rule = f"is a folder of other things, without a {known_by}"
        raise UserError(what, path, rule, "name an empty or a new folder")
    nearest = nearest_existing(path)
    if not nearest.is_dir():
        raise UserError(what, path, f"{nearest} is a file", "name a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        fix = "name another folder, or change its permissions"
        raise UserError(what, path, f"{nearest} is not writable", fix)
    if known_by is not None:
        require_renames(path, what)
    return path


def require_renames(path: str | Path, what: str) -> None:
    """UserError where a folder with files in it can't be renamed, as in some mounted buckets: what is written
    as a whole folder gets its name by that.
    """
    with tempfile.TemporaryDirectory(prefix=".probe.", dir=nearest_existing(Path(path))) as probe:
        full = Path(probe) / "full"
        write_text(full / "file", "")
        try:
            full.rename(full.with_name("renamed"))
        except OSError as error:
            rule = f"is on storage that can't rename a folder ({error.strerror})"
            fix = "write to a local disk, then copy: gcloud storage cp --recursive"
            raise UserError(what, path, rule, fix) from error


def require_output_file(path: str | Path, what: str) -> Path:
    """The path on this machine. UserError if it is a folder."""
    if require_local(path, what).is_dir():
        raise UserError(what, path, "is a folder", f"name a file, for example {Path(path) / 'new'}")
    return Path(path)


def require_writable(path: str | Path) -> Path:
    """The path of a file or a folder. UserError if neither can be written there."""
    nearest = nearest_existing(require_local(path, "output"))
    if nearest != Path(path).absolute() and not nearest.is_dir():
        raise UserError("output", path, f"{nearest} is not a folder", "choose another path")
    if not os.access(nearest, os.W_OK):
        fix = "choose another path, or change its permissions"
        raise UserError("output", path, f"{nearest} is not writable", fix)
    return Path(path)


def nearest_existing(path: Path) -> Path:
    """The absolute path, or the nearest of its parents that exists."""
    absolute = path.absolute()
    return next(candidate for candidate in (absolute, *absolute.parents) if candidate.exists())


def fingerprint(*parts: bytes) -> str:
    """A short name for content: the first 16 hex digits of SHA-256 over length-prefixed parts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:16]
