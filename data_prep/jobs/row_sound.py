"""The sound of a corpus's row, as every stage reads it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from data_prep.sound_queue import Admit
from spirit_jax.datasets.manifest import part_of
from spirit_jax.speech import audio
from spirit_jax.tokens.streams import SAMPLE_RATE

# how much longer or shorter the sound may be than a row says (our choice); more means times of another
# recording, or not in seconds
TOLERANCE_S = 0.25


def load_row(row: Mapping[str, Any], admit: Admit | None = None) -> np.ndarray:
    """A row's sound, float32 [samples] at 16 kHz. BadAudio, with the reason, if it cannot be used or is not
    as long as the row says.
    """
    wav = audio.load(row["audio"], corpus=True, part=part_of(row), admit=admit)
    _check_length(row, len(wav) / SAMPLE_RATE)
    return wav


def _check_length(row: Mapping[str, Any], seconds: float) -> None:
    stated = row.get("duration")
    if row.get("offset") is None and stated is not None and abs(stated - seconds) > TOLERANCE_S:
        detail = f"the row says {stated:.2f} s, the sound has {seconds:.2f} s; a part needs an offset as well"
        raise audio.BadAudio("duration_differs", detail)
    last = max((end for _, _, end in row["words"] or ()), default=0.0)
    if last > seconds + TOLERANCE_S:
        detail = f"a word ends at {last:.2f} s, the sound at {seconds:.2f} s; times are in seconds"
        raise audio.BadAudio("words_beyond_sound", detail)
