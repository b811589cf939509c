"""The speakers of the self-made corpus: SVOX Pico's, which sound natural and come without word times, and
espeak-ng's, whose word times are exact.
"""

import dataclasses
import random
from collections.abc import Callable

import numpy as np
import soxr

from data_prep import espeak, pico
from spirit_jax.tokens.streams import SAMPLE_RATE

Words = list[tuple[str, float, float]]  # each with its start and end in seconds
# samples as int16 at 16 kHz, and the words where their times are known
Said = tuple[np.ndarray, Words | None]

RATES, PITCHES, RANGES = (200, 240), (40, 60), (35, 65)  # of espeak-ng, drawn evenly for each utterance
SPEEDS, AROUND = (90, 115), (97, 103)  # of Pico in percent: speed, and pitch around the speaker's own
# By speaker: Pico's voice, and a pitch in percent of its own. Beyond these en-US is hard to understand.
PICO_VOICES = {
    "en-US-low": ("en-US", 88),
    "en-US-middle": ("en-US", 100),
    "en-US-high": ("en-US", 112),
    "en-GB-low": ("en-GB", 80),
    "en-GB-middle": ("en-GB", 100),
    "en-GB-high": ("en-GB", 120),
}


@dataclasses.dataclass(frozen=True)
class Speakers:
    """training, heldout: names of speakers. say: a text by a speaker; how is drawn from the generator."""

    training: tuple[str, ...]
    heldout: tuple[str, ...]
    say: Callable[[str, str, random.Random], Said]


def _say_by_pico(text: str, speaker: str, rng: random.Random) -> Said:
    name, pitch = PICO_VOICES[speaker]
    speed, around = rng.randint(*SPEEDS), rng.randint(*AROUND)
    return pico.speak(text, pico.Voice(name, speed / 100, pitch * around / 10_000)), None


def _say_by_espeak(text: str, speaker: str, rng: random.Random) -> Said:
    rate, pitch, pitch_range = (rng.randint(*bounds) for bounds in (RATES, PITCHES, RANGES))
    spoken = espeak.speak(text, espeak.Voice(speaker, rate, pitch, pitch_range))
    wav = soxr.resample(spoken.samples.astype(np.float32), spoken.sample_rate, SAMPLE_RATE)
    words = [(word, round(start, 4), round(end, 4)) for word, start, end in spoken.words]
    return np.clip(np.rint(wav), -32768, 32767).astype(np.int16), words


HELD_OUT_OF_PICO = "en-GB-high"
ESPEAK = Speakers(("en-us+m3", "en-us+f2", "en-us+m7", "en-us+f4"), ("en-us+m1",), _say_by_espeak)
PICO = Speakers(
    tuple(name for name in PICO_VOICES if name != HELD_OUT_OF_PICO), (HELD_OUT_OF_PICO,), _say_by_pico
)
ACCENTS = Speakers(  # of espeak-ng: American and southern British voices; Scottish ones are held out
    ("en-us+m3", "en-us+f2", "en+m7", "en+f4", "en-gb-x-rp+m2", "en-gb-x-rp+f3"),
    ("en-gb-scotland+m1", "en-gb-scotland+f1"),
    _say_by_espeak,
)
SPEAKERS = {"pico": PICO, "espeak": ESPEAK, "accents": ACCENTS}
