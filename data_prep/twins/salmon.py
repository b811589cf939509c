"""Pairs of sounds in the manner of SALMon: a voice, its expression, a room or a background changes or not."""

from collections.abc import Sequence

import numpy as np

from data_prep.twins.cast import Cast
from spirit_jax.tokens.streams import SAMPLE_RATE

Pair = tuple[np.ndarray, np.ndarray]  # the true sound, the false one
VOICES = {  # voices of the cast: of the first clause, and of the second in the false sound
    "gender_consistency": ("one", "unlike"),
    "speaker_consistency": ("one", "alike"),
    "sentiment_consistency": ("calm", "lively"),
}
BACKGROUNDS = {  # the same for what is behind the voice
    "bg_all_consistency": ("hum", "high hum"),
    "bg_domain_consistency": ("hum", "noise"),
    "rir_consistency": ("dry", "hall"),
}
ALIGNMENTS = ("bg_alignment", "sentiment_alignment")
PARTS = (*ALIGNMENTS, *BACKGROUNDS, *VOICES)
HUM_HZ = {"hum": 120.0, "high hum": 700.0}
LEVEL, HALL_S = 0.02, 0.3


def draw_pair(part: str, first: Sequence[str], second: Sequence[str], number: int, cast: Cast) -> Pair:
    """The true sound and the false one, float32 [samples] at 16 kHz.

    In a part about alignment, the whole sentence has the condition of its number, even or odd, or the other.
    """
    if part in VOICES:
        voice, other = (getattr(cast, name) for name in VOICES[part])
        begun = cast.say(first, voice)
        true, false = cast.say(second, voice), cast.say(second, other)
        return np.concatenate([begun, true]), np.concatenate([begun, false])
    if part in BACKGROUNDS:
        here, there = BACKGROUNDS[part]
        begun, ended = _set(cast.say(first, cast.one), here, number), cast.say(second, cast.one)
        true, false = _set(ended, here, number), _set(ended, there, number)
        return np.concatenate([begun, true]), np.concatenate([begun, false])
    even, odd = _align(part, [*first, *second], number, cast)
    return (even, odd) if number % 2 == 0 else (odd, even)


def _align(part: str, words: Sequence[str], number: int, cast: Cast) -> Pair:
    """A sentence in the condition of even numbers, and in that of odd ones."""
    if part == "sentiment_alignment":
        return cast.say(words, cast.calm), cast.say(words, cast.lively)
    wav = cast.say(words, cast.one)
    return _set(wav, "hum", number), _set(wav, "noise", number)


def _set(wav: np.ndarray, background: str, seed: int) -> np.ndarray:
    """The wav in front of a background, or in a room."""
    rng = np.random.default_rng(seed)
    if background == "noise":
        return wav + LEVEL * rng.standard_normal(len(wav)).astype(np.float32)
    if background in HUM_HZ:
        turns = np.arange(len(wav)) * HUM_HZ[background] / SAMPLE_RATE
        return wav + LEVEL * np.sin(2 * np.pi * turns).astype(np.float32)
    if background == "dry":
        return wav
    length = round(HALL_S * SAMPLE_RATE)
    echo = rng.standard_normal(length) * np.exp(-np.arange(length) / (length / 5))
    wet = np.convolve(wav, echo / np.linalg.norm(echo))[: len(wav)]
    return (0.5 * (wav + wet)).astype(np.float32)
