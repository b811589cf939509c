"""What a corpus says about one row, in the words of the manifest, before the row is checked."""

import collections
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from spirit_jax.core.errors import UserError
from spirit_jax.datasets.corpus import BadRow

HELD_OUT = re.compile(r"^(dev|test|valid|validation|eval|heldout)(?![a-z])", re.IGNORECASE)


class Given(NamedTuple):
    """row: the keys of a manifest (`spirit_jax.datasets.manifest_rows`), or why there are none; then `id` and
    `audio` name it in the quarantine. line: in the file that `where` names.
    """

    row: Mapping[str, Any] | UserError
    line: int | None
    where: str
    id: str = ""
    audio: str = ""


# (corpus, what is ignored with the number of times) -> rows
Read = Callable[[Path, collections.Counter[str]], Iterator[Given]]


def missing_partner(where: str, value: object, rule: str) -> BadRow:
    """An entry whose other half is absent, for example a text without a recording."""
    return BadRow("no_partner", where, value, rule, "add it or drop the entry")


def held_out_split(name: str) -> str | None:
    """The split that a file's or folder's name begins with, such as `dev` of `dev-clean`; None for others."""
    match = HELD_OUT.match(name)
    return match[1].lower() if match else None
