"""Which rows are trained on and which are held out: the same at every stage, so that no part of a codec is
trained on the recordings that another one is judged by.
"""

import zlib
from collections.abc import Iterable

from spirit_jax.core.errors import UserError

TRAINING_SPLITS = ("train", "speech", "text")
# Where a corpus holds nothing out: one row in so many, but no fewer than four, nor more than a fifth (our
# choices).
SHARE, LEAST = 50, 4
FIFTH = 5


def split_rows(rows: Iterable[dict], held_out: str | None = None) -> tuple[list[dict], list[dict]]:
    """Rows to train on and rows to judge by, each in order.

    held_out: the split that is judged by; None: every split that is not trained on. Where no row is of it,
    some training rows are set apart by their ids alone. UserError if either side is empty.
    """
    rows = list(rows)
    train = [row for row in rows if row["split"] in TRAINING_SPLITS]
    judged = [
        row for row in rows if (row["split"] == held_out if held_out else row["split"] not in TRAINING_SPLITS)
    ]
    if not judged:
        train, judged = set_apart(train)
    if not train or not judged:
        rule = f"to train on and {len(judged)} to judge by are too few"
        raise UserError("corpus", f"{len(train)} recordings", rule, "give more recordings")
    return train, judged


def set_apart(rows: list[dict]) -> tuple[list[dict], list[dict]]:
    """Rows to train on and rows to judge by, each in order. A single row is held out."""
    count = min(max(LEAST, len(rows) // SHARE), max(1, len(rows) // FIFTH))
    by_hash = sorted(rows, key=lambda row: (zlib.crc32(row["id"].encode()), row["id"]))
    chosen = {row["id"] for row in by_hash[:count]}
    return [row for row in rows if row["id"] not in chosen], [row for row in rows if row["id"] in chosen]
