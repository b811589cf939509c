"""Synthetic sound: tones, and babble of five vowels and a hiss, 120 ms each, by a pulse train at a given
pitch.
"""

import numpy as np
import scipy.signal

RATE = 16_000
VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
PHONE_SAMPLES = 1920


def tone(hz: float, seconds: float, partials: int = 1) -> np.ndarray:
    """A sum of sines at multiples of `hz`, falling as 1/n: float32 [samples]."""
    t = np.arange(round(seconds * RATE)) / RATE
    return (
        0.3 * sum(np.sin(2 * np.pi * hz * n * t) / n for n in range(1, partials + 1) if hz * n < RATE / 2)
    ).astype(np.float32)


def babble(seconds: float, seed: int, hz: float = 120.0, tract: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Sound float32 [samples] and the phone (0 to 5) of each 40 ms: int [samples // 640]. `tract` multiplies
    the formants.
    """
    rng = np.random.default_rng(seed)
    samples = round(seconds * RATE)
    phones = rng.integers(0, 6, -(-samples // PHONE_SAMPLES))
    pulses = np.diff(np.floor(np.arange(samples + 1) * hz / RATE))
    parts = []
    for i, phone in enumerate(phones):
        source = pulses[i * PHONE_SAMPLES : (i + 1) * PHONE_SAMPLES]
        parts.append(
            0.05 * rng.normal(size=len(source)) if phone == 5 else _vowel(source, VOWELS[phone], tract)
        )
    wav = np.concatenate(parts) + 1e-3 * rng.normal(size=samples)
    return wav.astype(np.float32), np.repeat(phones, PHONE_SAMPLES // 640)[: samples // 640]


def _vowel(source: np.ndarray, formants: tuple[int, ...], tract: float) -> np.ndarray:
    for formant in formants:
        radius, angle = np.exp(-np.pi * 90 / RATE), 2 * np.pi * formant * tract / RATE
        source = scipy.signal.lfilter([1 - radius], [1, -2 * radius * np.cos(angle), radius**2], source)
    return 0.2 * source / np.abs(source).max()
