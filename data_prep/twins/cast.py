"""Who speaks the twins of a demo corpus: voices of the kind that speaks the corpus, so that its model and its
codec have heard them.

SVOX Pico has two voices, both of women: a lower pitch stands for a man. It gives no times, so pocketsphinx
finds them.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from data_prep import espeak, pico
from data_prep.alignment.sphinx import Spans, find_phones, make_decoder
from data_prep.speakers import ACCENTS, ESPEAK, PICO, PICO_VOICES
from spirit_jax.core.errors import UserError

Voice = Any  # of the program that speaks: espeak.Voice or pico.Voice


class Timed(NamedTuple):
    """wav: float32 [samples] at 16 kHz. words, phones: each with its start and end in seconds; the name of a
    pause between phones begins with _.
    """

    wav: np.ndarray
    words: Spans
    phones: Spans


@dataclasses.dataclass(frozen=True)
class Cast:
    """Voices, and how they speak.

    speakers: those of training by name. calm, lively, grim: manners of one of them. one, alike, unlike: a
    voice, another one of the same sex, and one of the other. ways: changes of a voice, such that no two
    sentences have the same sounds. speak: float32 [samples] at 16 kHz. speak_timed: None where the times are
    not found.
    """

    speakers: Mapping[str, Voice]
    calm: Voice
    lively: Voice
    grim: Voice
    one: Voice
    alike: Voice
    unlike: Voice
    ways: Sequence[Mapping[str, float]]
    speak: Callable[[str, Voice], np.ndarray]
    speak_timed: Callable[[str, Voice], Timed | None]

    def say(self, words: Iterable[str], voice: Voice) -> np.ndarray:
        """The words, spoken: float32 [samples] at 16 kHz."""
        return self.speak(" ".join(words), voice)

    def say_by_turns(self, number: int, words: Iterable[str]) -> np.ndarray:
        """The same by the speaker whose turn it is."""
        return self.say(words, list(self.speakers.values())[number % len(self.speakers)])


def find_cast(voices: Iterable[str]) -> Cast:
    """The cast of a corpus by the names of its speakers. UserError for voices that none of them has."""
    wanted = set(voices)
    for cast in CASTS:
        if wanted <= cast.speakers.keys():
            return cast
    known = ", ".join(name for cast in CASTS for name in cast.speakers)
    rule = f"must be of one corpus of data_prep synthesize, whose speakers are among {known}"
    raise UserError("voices", ", ".join(sorted(wanted)), rule, "make the corpus with data_prep synthesize")


def _speak_by_espeak(text: str, voice: espeak.Voice) -> np.ndarray:
    return espeak.speak(text, voice).wav


def _time_by_espeak(text: str, voice: espeak.Voice) -> Timed:
    spoken = espeak.speak(text, voice)
    return Timed(spoken.wav, spoken.words, spoken.phones)


def _speak_by_pico(text: str, voice: pico.Voice) -> np.ndarray:
    return pico.speak(text, voice).astype(np.float32) / 32768


def _time_by_pico(text: str, voice: pico.Voice) -> Timed | None:
    wav = _speak_by_pico(text, voice)
    found = find_phones(_decoder(), wav, text)
    return None if found is None else Timed(wav, *found)


@functools.cache
def _decoder() -> Any:
    return make_decoder(wide=False)


def _cast_espeak(names: Sequence[str]) -> Cast:
    ways = [{"rate": rate, "pitch": pitch} for rate in (170, 200, 230) for pitch in (42, 50, 58)]
    return Cast(
        speakers={name: espeak.Voice(name) for name in names},
        calm=espeak.Voice("en-us+m3", 160, 35, 20),
        lively=espeak.Voice("en-us+m3", 240, 75, 90),
        grim=espeak.Voice("en-us+m3", 115, 12, 10),
        one=espeak.Voice("en-us+m3"),
        alike=espeak.Voice("en-us+m7"),
        unlike=espeak.Voice("en-us+f2"),
        ways=ways,
        speak=_speak_by_espeak,
        speak_timed=_time_by_espeak,
    )


def _cast_pico(names: Sequence[str]) -> Cast:
    own = {name: PICO_VOICES[name] for name in names}
    ways = [{"speed": speed} for speed in (0.9, 0.94, 0.98, 1.02, 1.06, 1.1, 1.14)]
    return Cast(
        speakers={name: pico.Voice(voice, pitch=percent / 100) for name, (voice, percent) in own.items()},
        calm=pico.Voice("en-GB", 0.95, 0.9),
        lively=pico.Voice("en-GB", 1.25, 1.25),
        grim=pico.Voice("en-GB", 0.75, 0.7),
        one=pico.Voice("en-GB", pitch=0.75),
        alike=pico.Voice("en-US", pitch=0.75),
        unlike=pico.Voice("en-GB", pitch=1.1),
        ways=ways,
        speak=_speak_by_pico,
        speak_timed=_time_by_pico,
    )


CASTS = (_cast_pico(PICO.training), _cast_espeak(ESPEAK.training), _cast_espeak(ACCENTS.training))
