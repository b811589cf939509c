"""Which rows of a corpus are for training and which are held out.

All stages use this definition, so no part of a codec is trained on recordings that evaluate another part.
"""

import zlib
from collections.abc import Iterable

from spirit_jax.core.errors import UserError

TRAINING_SPLITS = ("train", "speech", "text")
# Where a corpus holds nothing out (our choices): one row in EVERY, at least LEAST, at most one in MOST_EVERY.
EVERY, LEAST, MOST_EVERY = 50, 4, 5


def split_rows(rows: Iterable[dict], held_out: str | None = None) -> tuple[list[dict], list[dict]]:
    """Training rows and held-out rows, each in order.

    held_out: name of the held-out split; None: every split that is not for training. Where it has no row,
    `hold_out` chooses from the training rows. UserError if either side is empty.
    """
    rows = list(rows)
    train = [row for row in rows if row["split"] in TRAINING_SPLITS]
    others = [
        row for row in rows if (row["split"] == held_out if held_out else row["split"] not in TRAINING_SPLITS)
    ]
    if not others:
        train, others = hold_out(train)
    if not train or not others:
        rule = f"for training and {len(others)} held out are too few"
        raise UserError("corpus", f"{len(train)} recordings", rule, "give more recordings")
    return train, others


def hold_out(rows: list[dict]) -> tuple[list[dict], list[dict]]:
    """Training rows and held-out rows, each in order, chosen by a hash of their ids.

    Of a single row none is left for training.
    """
    count = min(max(LEAST, len(rows) // EVERY), max(1, len(rows) // MOST_EVERY))
    by_hash = sorted(rows, key=lambda row: (zlib.crc32(row["id"].encode()), row["id"]))
    chosen = {row["id"] for row in by_hash[:count]}
    return [row for row in rows if row["id"] not in chosen], [row for row in rows if row["id"] in chosen]
