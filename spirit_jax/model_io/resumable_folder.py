"""Long conversions to a folder that is complete or absent. An interrupted conversion resumes."""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_renames
from spirit_jax.core.paths import AnyPath, require_local, resolved

JOURNAL = "progress.jsonl"


class Journal:
    """The finished parts of a conversion, in a file that survives a killed process. A line that the kill cut
    off does not count.
    """

    def __init__(self, file: TextIO):
        file.seek(0)
        text = file.read()
        whole = text[: text.rfind("\n") + 1]
        file.truncate(len(whole.encode()))
        self._file, self._done = file, {json.loads(line) for line in whole.splitlines()[1:]}

    def __contains__(self, key: str) -> bool:
        return key in self._done

    def add(self, key: str) -> None:
        """Records a finished part, on disk."""
        self._done.add(key)
        self._file.write(json.dumps(key) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


@contextlib.contextmanager
def resumable(
    out: Path, description: dict[str, Any], is_ours: Callable[[Path], bool]
) -> Iterator[tuple[Path, Journal]]:
    """Yields a folder `.NAME.partial` next to `out` to work in, and its journal. Moves it to `out` at the
    end.

    An earlier attempt with the same `description` is resumed; otherwise the folder is emptied. An existing
    `out` is replaced at the end if `is_ours` accepts it. UserError for any other `out` that exists, and if
    another process is writing it.
    """
    if out.exists() and not is_ours(out):
        raise UserError("target", out, "exists, and this command did not write it", "choose another folder")
    require_renames(out.parent, "target")
    partial, replaced = (out.with_name(f".{out.name}.{what}") for what in ("partial", "replaced"))
    with contextlib.closing(_open_journal(partial / JOURNAL, json.dumps(description), out)) as file:
        for unfinished in partial.glob(".*.partial"):  # of files that were being written
            shutil.rmtree(unfinished)
        yield partial, Journal(file)
    (partial / JOURNAL).unlink()
    shutil.rmtree(replaced, ignore_errors=True)
    if out.exists():
        out.replace(replaced)
    partial.replace(out)
    shutil.rmtree(replaced, ignore_errors=True)


def check_apart(out: str | Path, source: AnyPath) -> Path:
    """The target's path. UserError if writing it would replace the source, or if it is in a bucket."""
    target, apart_from = require_local(out, "target").resolve(), resolved(source)
    if target == apart_from or target in apart_from.parents:
        raise UserError("target", out, f"contains the source, {source}", "choose another folder")
    return Path(out)


def file_stamps(folder: AnyPath) -> list[tuple[str, int, int]]:
    """Names, sizes and times of a folder's files. They show whether it is unchanged."""
    files = ((path, path.stat()) for path in sorted(folder.iterdir()) if path.is_file())
    return [
        (path.name, stat.st_size, stat.st_mtime_ns)
        if isinstance(stat, os.stat_result)
        else (path.name, stat.length, stat.mtime * 10**9)
        for path, stat in files
    ]


def _open_journal(path: Path, first: str, out: Path) -> TextIO:
    """The locked journal of an attempt whose first line is `first`; a new one in an empty folder if there is
    none, or another attempt's.
    """
    if path.is_file():
        file = _lock(path, out)
        if file.readline() == first + "\n":
            return file
        file.close()
    shutil.rmtree(path.parent, ignore_errors=True)
    path.parent.mkdir(parents=True)
    file = _lock(path, out)
    file.write(first + "\n")
    file.flush()
    return file


def _lock(path: Path, out: Path) -> TextIO:
    file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 (closed by the caller)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise UserError(
            "target", out, "is being written by another process", "wait for it, or choose another folder"
        ) from error
    file.seek(0)
    return file
