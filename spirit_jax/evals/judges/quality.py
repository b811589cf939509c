"""Predicted opinion scores of speech: DNSMOS (Reddy et al. 2022), whose weights come with its package."""

from collections.abc import Sequence

import numpy as np

from spirit_jax.core.progress import track
from spirit_jax.evals.judges.recognisers import require_library
from spirit_jax.tokens.streams import SAMPLE_RATE

OPINION = "p808"  # the score that predicts ratings of speech as a whole (ITU-T P.808)
SCORES = {OPINION: "p808_mos", "overall": "ovrl_mos", "signal": "sig_mos", "background": "bak_mos"}


class Dnsmos:
    """Predicts how listeners would rate a sound, from 1 to 5. about: what it is, for results."""

    def __init__(self):
        self._run = require_library("speechmos.dnsmos", "requirements-judges.txt").run
        self.about = "DNSMOS of speechmos"

    def rate(self, wavs: Sequence[np.ndarray]) -> list[dict[str, float]]:
        """SCORES of each sound, float32 [samples] at 16 kHz, with a sample or more. Short ones are repeated
        to 9 s.
        """
        return [self._rate(np.clip(wav, -1, 1)) for wav in track(wavs, "rate")]

    def _rate(self, wav: np.ndarray) -> dict[str, float]:
        found = self._run(wav, SAMPLE_RATE)
        return {name: float(found[key]) for name, key in SCORES.items()}
