"""DNSMOS, where it is installed."""

import numpy as np
import pytest

from spirit_jax.evals.judges.judges import Judges
from spirit_jax.evals.judges.quality import SCORES

pytest.importorskip("speechmos.dnsmos")


def test_sounds_are_rated_whatever_their_length_and_height():
    rng = np.random.default_rng(0)
    noise = [rng.normal(size=samples).astype(np.float32) for samples in (1, 16_000, 200_000)]
    judges = Judges()
    judges.load(["mos"])
    for one in judges.quality.rate([*noise, np.zeros(16_000, np.float32)]):
        assert one.keys() == SCORES.keys()
        assert all(0 < score < 5.5 for score in one.values())


def test_a_voice_is_rated_above_noise():
    """A voice: harmonics of a moving pitch, in syllables."""
    rng, time = np.random.default_rng(0), np.arange(160_000) / 16_000
    phase = 2 * np.pi * np.cumsum(120 + 20 * np.sin(3 * time)) / 16_000
    voice = sum(np.sin(k * phase) / k for k in range(1, 12)) * (np.sin(12 * time) > -0.3) * 0.1
    noise = 0.3 * rng.normal(size=len(time))
    rated = Judges().quality.rate([voice.astype(np.float32), (voice + noise).astype(np.float32)])
    assert rated[0]["background"] > rated[1]["background"]
