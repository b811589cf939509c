"""Which recordings are held out where a corpus doesn't say: the same at every stage, so that none of a
codec's parts was trained on them.
"""

import zlib
from collections.abc import Sequence

SHARE, LEAST = 50, 4  # one in so many, but no fewer than four, nor more than a fifth: choices
FIFTH = 5


def set_apart(rows: Sequence[dict]) -> tuple[list[dict], list[dict]]:
    """Rows to train on and rows to judge by, each in order; chosen by their ids alone. A single row is held
    out.
    """
    count = min(max(LEAST, len(rows) // SHARE), max(1, len(rows) // FIFTH))
    chosen = {
        row["id"] for row in sorted(rows, key=lambda row: (zlib.crc32(row["id"].encode()), row["id"]))[:count]
    }
    return [row for row in rows if row["id"] not in chosen], [row for row in rows if row["id"] in chosen]
