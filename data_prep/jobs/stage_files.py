"""The files of a stage, each made of some of the corpus' rows: an interrupted stage continues where it
stopped.

Each file is written atomically. Its ledger is written after it: what the file was made from, counts, and what
was set aside. A later call makes only the files whose inputs have changed.
"""

import dataclasses
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spirit_jax.core.files import drop_partials, fingerprint, read_json, write_json, write_jsonl
from spirit_jax.core.progress import Progress
from spirit_jax.core.stored_files import stamp_of

# Finished rows of some of the corpus' rows, in order. It adds counts to the ledger, and unusable rows to its
# "quarantine".
Make = Callable[[Sequence[dict], dict, Progress], Iterator[dict]]
FORMAT = b"2"  # of the ledgers; files of another one are made again


@dataclasses.dataclass(frozen=True)
class StageFile:
    """One file of finished rows and its ledger."""

    path: Path
    ledger_path: Path

    def rows(self) -> Iterator[dict]:
        """The finished rows."""
        with open(self.path, encoding="utf-8") as file:
            yield from map(json.loads, file)

    def finished(self, inputs: str) -> dict | None:
        """The ledger, if the file was made of these inputs."""
        if not self.path.is_file() or not self.ledger_path.is_file():
            return None
        ledger = read_json(self.ledger_path)
        return ledger if ledger["inputs"] == inputs else None

    def write(self, inputs: str, make: Callable[[dict], Iterator[dict]]) -> dict:
        """Writes the rows that `make` gives, which adds counts to the ledger; then writes the ledger."""
        self.ledger_path.unlink(missing_ok=True)
        ledger: dict[str, Any] = {"inputs": inputs, "quarantine": []}
        write_jsonl(self.path, make(ledger))
        write_json(self.ledger_path, ledger)
        return ledger


@dataclasses.dataclass(frozen=True)
class StageFiles:
    """Where a stage's files are: FOLDER/PREFIX-SSSSS-of-NNNNN.jsonl, and where their ledgers."""

    folder: Path
    ledgers: Path
    prefix: str

    def make(
        self, what: str, rows: Sequence[dict], size: int, identity: bytes, make: Make
    ) -> tuple[list[StageFile], list[dict]]:
        """The files for `size` rows each, and their ledgers. what: names the progress.

        identity: of what makes the rows; it differs where results may differ. Files of another size and
        temporary files of a killed call are removed.
        """
        drop_partials(self.folder, "*")
        drop_partials(self.ledgers, "*")
        starts = range(0, len(rows), size)
        files = [self._file(number, len(starts)) for number in range(len(starts))]
        ledgers = []
        with Progress(what, len(rows), "utt") as progress:
            for file, start in zip(files, starts):
                held = rows[start : start + size]
                inputs = fingerprint(FORMAT, identity, *map(identity_of, held))
                ledger = file.finished(inputs)
                if ledger is None:
                    ledger = file.write(inputs, _given(make, held, progress))
                else:
                    progress.advance(len(held), "(unchanged)")
                ledgers.append(ledger)
        drop_others(files, self.folder, self.ledgers, f"{self.prefix}-*-of-*")
        return files, ledgers

    def _file(self, number: int, total: int) -> StageFile:
        name = f"{self.prefix}-{number:05d}-of-{total:05d}"
        return StageFile(self.folder / f"{name}.jsonl", self.ledgers / f"{name}.json")


def _given(make: Make, held: Sequence[dict], progress: Progress) -> Callable[[dict], Iterator[dict]]:
    return lambda ledger: make(held, ledger, progress)


def drop_others(files: Collection[StageFile], folder: Path, ledgers: Path, names: str) -> None:
    """Removes what an earlier call left: files and ledgers that match `names` and are none of these."""
    kept = {path for file in files for path in (file.path, file.ledger_path)}
    for path in [*folder.glob(f"{names}.jsonl"), *ledgers.glob(f"{names}.json")]:
        if path not in kept:
            path.unlink()


def identity_of(row: Mapping[str, Any]) -> bytes:
    """A row with its recording's size and time of change, for the fingerprint of a file's inputs."""
    return json.dumps([row, row["audio"] and stamp_of(row["audio"])], sort_keys=True).encode()
