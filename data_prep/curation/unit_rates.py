"""Units a second of the utterances of a units folder, by their ids."""

import array
import math

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.datasets.units_folder import UnitsFolder
from spirit_jax.tokens.streams import UNITS
from spirit_jax.tokens.vocabulary import run_starts


class UnitRates:
    """Runs of equal units a second. Takes 16 bytes an utterance."""

    def __init__(self, units: UnitsFolder):
        keys, rates = array.array("q"), array.array("d")
        for row in units.rows():
            keys.append(hash(row["id"]))
            rates.append(len(run_starts(np.asarray(row[UNITS]))) / row["duration_s"])
        if not keys:
            raise UserError("--units", units.path, "has no utterances", "leave it out")
        order = np.argsort(keys)
        self._keys, self._rates = np.array(keys)[order], np.array(rates)[order]

    def of(self, id: str) -> float | None:
        """The rate of an utterance; None if it has no units."""
        at = int(np.searchsorted(self._keys, hash(id)))
        found = at < len(self._keys) and self._keys[at] == hash(id)
        return round(float(self._rates[at]), 4) if found and math.isfinite(self._rates[at]) else None
