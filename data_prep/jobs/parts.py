"""Parts of a job on the rows of a corpus. Each is a file of finished rows with a ledger. It is made again
only if its inputs have changed, so that a job can be interrupted at any time.
"""

import dataclasses
import json
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from spirit_jax.core.files import drop_partials, read_json, write_json, write_jsonl


@dataclasses.dataclass(frozen=True)
class Part:
    """A file of finished rows, and next to it the ledger: what it was made of, and what the job counts."""

    path: Path

    @property
    def ledger_path(self) -> Path:
        """Written after `path`."""
        return self.path.with_suffix(".json")

    def rows(self) -> Iterator[dict]:
        """The finished rows."""
        with open(self.path, encoding="utf-8") as file:
            yield from map(json.loads, file)

    def finished(self, inputs: str) -> dict | None:
        """The ledger, if the part was made of these inputs."""
        if not self.path.is_file() or not self.ledger_path.is_file():
            return None
        ledger = read_json(self.ledger_path)
        return ledger if ledger["inputs"] == inputs else None

    def write(self, inputs: str, rows: Iterable[dict], ledger: dict) -> dict:
        """Writes the rows, then the ledger, which may be filled while the rows are made."""
        self.ledger_path.unlink(missing_ok=True)
        write_jsonl(self.path, rows)
        ledger = {"inputs": inputs, **ledger}
        write_json(self.ledger_path, ledger)
        return ledger


def drop_other_parts(folder: Path, parts: Collection[Part]) -> None:
    """Removes parts of an earlier call that are none of these, and temporary files of a killed one."""
    drop_partials(folder, "part-*")
    kept = {path for part in parts for path in (part.path, part.ledger_path)}
    for path in folder.glob("part-*.json*"):
        if path not in kept:
            path.unlink()
