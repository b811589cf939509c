"""JSON lines of NVIDIA NeMo: `audio_filepath`, `offset`, `duration`, `text`, and optional keys.

`speaker` and `lang` are read where they are strings. Predictions, such as `pred_text`, and keys that begin
with `_` are ignored.
"""

import collections
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import parse_lines
from spirit_jax.datasets.corpora.given import Given
from spirit_jax.datasets.corpus import BadRow

RENAMED = {"audio_filepath": "audio", "lang": "language"}


def is_nemo(first: Mapping[str, Any]) -> bool:
    """Whether a row of a manifest is in NeMo's words."""
    return "audio_filepath" in first


def read_nemo(path: Path, ignored: collections.Counter[str]) -> Iterator[Given]:
    """The rows of a manifest."""
    for line, row in parse_lines(path):
        where = f"{path} line {line}"
        if not isinstance(row, UserError):
            row = _translate(row, where, ignored)
        yield Given(row, line, where)


def _translate(row: dict, where: str, ignored: collections.Counter[str]) -> dict | BadRow:
    if not row.get("audio_filepath"):
        rule, fix = "a row of a NeMo manifest has audio_filepath", "add it or drop the row"
        return BadRow("bad_row", where, ", ".join(row), rule, fix)
    passed = [key for key in row if key.startswith(("pred_", "_"))]
    ignored.update(passed)
    return {RENAMED.get(key, key): value for key, value in row.items() if key not in passed}
