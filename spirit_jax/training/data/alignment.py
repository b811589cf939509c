"""How many records of a source have word times: interleaving needs them, and many corpora have none."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.tokens.interleave import Arrangement, Record
from spirit_jax.training.data.reading import read_all

PROBED = 1000  # records of a source that are read, evenly spread: our choice


@dataclasses.dataclass(frozen=True)
class Alignment:
    """Of `read` records, those `aligned`."""

    read: int
    aligned: int

    @property
    def shares(self) -> dict[str, float]:
        """The shares of records with and without word times."""
        share = self.aligned / self.read
        return {"aligned": share, "unaligned": 1 - share}

    def __str__(self) -> str:
        shares = ", ".join(f"{share:.1%} {name}" for name, share in self.shares.items())
        return f"{shares} of {self.read:,} records read"


def measure_alignment(name: str, rows: Sequence[Record], arrangement: Arrangement) -> Alignment:
    """Reads up to `PROBED` records of a source. Raises a UserError if none is aligned."""
    indices = np.linspace(0, len(rows) - 1, min(PROBED, len(rows))).astype(int)
    found = Alignment(len(indices), sum(read_all(lambda index: rows[index].aligned, indices.tolist())))
    if not found.aligned:
        raise UserError(
            f"source {name}",
            f"0 of {found.read:,} records read are aligned",
            f"the arrangement {arrangement.value} needs word times",
            "add them with make align and write the shards again, or choose speech, text, asr or tts",
        )
    return found
