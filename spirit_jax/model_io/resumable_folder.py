"""Long conversions to a folder that is complete or absent, and that go on where they were interrupted."""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from spirit_jax.core.errors import UserError

JOURNAL = "progress.jsonl"


class Journal:
    """What is done, kept in a file that outlives a killed process. A line that the kill cut off doesn't
    count.
    """

    def __init__(self, file: TextIO):
        file.seek(0)
        text = file.read()
        whole = text[: text.rfind("\n") + 1]
        file.truncate(len(whole.encode()))
        self.file, self.done = file, {json.loads(line) for line in whole.splitlines()[1:]}

    def __contains__(self, key: str) -> bool:
        return key in self.done

    def add(self, key: str) -> None:
        """Notes it down, on disk."""
        self.done.add(key)
        self.file.write(json.dumps(key) + "\n")
        self.file.flush()
        os.fsync(self.file.fileno())


@contextlib.contextmanager
def resumable(out: Path, told: dict, ours: Callable[[Path], bool]) -> Iterator[tuple[Path, Journal]]:
    """A folder `.NAME.partial` beside `out` to work in, and the journal of what it holds; moved to `out` when
    complete.

    What an earlier attempt with the same `told` left is gone on with, else it begins anew. An `out` for which
    `ours` holds is replaced at the end; any other that exists is a UserError, as is one that another process
    is writing.
    """
    if out.exists() and not ours(out):
        raise UserError(
            "target", out, "exists and is nothing that this command wrote", "choose another folder"
        )
    partial, aside = (out.with_name(f".{out.name}.{what}") for what in ("partial", "replaced"))
    with contextlib.closing(_open_journal(partial / JOURNAL, json.dumps(told), out)) as file:
        for left in partial.glob(".*.partial"):  # of files that were being written
            shutil.rmtree(left)
        yield partial, Journal(file)
    (partial / JOURNAL).unlink()
    shutil.rmtree(aside, ignore_errors=True)
    if out.exists():
        out.replace(aside)
    partial.replace(out)
    shutil.rmtree(aside, ignore_errors=True)


def _open_journal(path: Path, first: str, out: Path) -> TextIO:
    """The journal of an attempt described by `first`, locked; a new one in an empty folder where there is
    none or another's.
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
