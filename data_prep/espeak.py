"""Text to speech with exact word times, by the library of espeak-ng (package espeakng_loader).

The library keeps state between utterances (phases, noise, filters), so a sentence would depend on those
before it. It is therefore loaded again for every utterance, in under a millisecond. So equal arguments give
equal samples, in any order and in any process.
"""

import _ctypes
import ctypes
import dataclasses

import numpy as np
import soxr

from spirit_jax.core.errors import UserError
from spirit_jax.tokens.streams import SAMPLE_RATE

RATE_PARAMETER, PITCH_PARAMETER, RANGE_PARAMETER = 1, 3, 4
SYNCHRONOUS_OUTPUT = 2
PHONEME_EVENTS, DONT_EXIT = 0x0001, 0x8000
WORD, PHONEME = 1, 7
CHARACTER_POSITIONS, UTF8 = 1, 1
IPA = 0x02
FAST = 450  # words a minute, the library's upper limit


@dataclasses.dataclass(frozen=True)
class Voice:
    """An espeak-ng voice (`en-us+m3`), with its rate in words a minute (80 to 450), pitch and pitch range (0
    to 99).
    """

    name: str
    rate: int = 175
    pitch: int = 50
    range: int = 50

    def __post_init__(self):
        if not 80 <= self.rate <= FAST or not 0 <= self.pitch <= 99 or not 0 <= self.range <= 99:
            raise UserError(
                "voice",
                self,
                f"rate is 80 to {FAST}, pitch and range are 0 to 99",
                "choose values in these ranges",
            )


@dataclasses.dataclass(frozen=True)
class Spoken:
    """samples: int16 [n] at `sample_rate`. words: (word, start s, end s) for each word of the text.

    Words that espeak-ng says as one have the same times. phones: the same for each phone, by espeak-ng's
    names, and for each pause, by a name that begins with _.
    """

    samples: np.ndarray
    sample_rate: int
    words: list[tuple[str, float, float]]
    phones: list[tuple[str, float, float]]

    @property
    def wav(self) -> np.ndarray:
        """float32 [samples] at 16 kHz."""
        return soxr.resample(self.samples.astype(np.float32) / 32768, self.sample_rate, SAMPLE_RATE)


@dataclasses.dataclass(frozen=True)
class _Event:
    type: int
    position: int  # character in the text, from 0
    length: int
    sample: int
    name: str  # the phoneme of a phoneme event


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _CEvent(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_CEvent)
)


def speak(text: str, voice: Voice) -> Spoken:
    """Speaks `text`: words without digits, which espeak-ng would split.

    UserError for digits, a text without words, an unknown voice, or a missing package.
    """
    if not text.strip() or any(c.isdigit() for c in text):
        raise UserError("text to speak", repr(text), "must have words and no digits", "spell numbers out")
    samples, events, sample_rate = _synthesize(text, voice)
    spans = word_spans(text, events, len(samples))
    words = [
        (word, start / sample_rate, end / sample_rate) for word, (start, end) in zip(text.split(), spans)
    ]
    phones = [
        (name, start / sample_rate, end / sample_rate)
        for name, start, end in phone_spans(events, len(samples))
    ]
    return Spoken(samples, sample_rate, words, phones)


def transcribe(text: str, language: str) -> str:
    """How espeak-ng says `text` in a language (`en-us`), in IPA.

    UserError for an unknown language or a missing package.
    """
    library, _ = _load_library()
    try:
        if library.espeak_SetVoiceByName(language.encode()):
            raise UserError("language", language, "is unknown to espeak-ng", "for example en-us")
        library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        rest, clauses = ctypes.c_char_p(text.encode()), []
        while rest.value:
            spoken = library.espeak_TextToPhonemes(ctypes.byref(rest), UTF8, IPA)
            clauses.append((spoken or b"").decode())
        return " ".join(clauses)
    finally:
        library.espeak_Terminate()
        _ctypes.dlclose(library._handle)


def word_spans(text: str, events: list, n_samples: int) -> list[tuple[int, int]]:
    """Start and end sample of each word of `text.split()`.

    The position of a word event in the text names its word. Blank and repeated events are dropped. A word
    without an event has the times of the word before it. A word ends where the next begins, or at a pause
    before that.
    """
    starts = {}
    for event in events:
        if event.type == WORD and event.length and event.position not in starts:
            starts[event.position] = event.sample
    pauses = [event.sample for event in events if event.type == PHONEME and event.name.startswith("_")]
    bounds = sorted(set(starts.values()) | set(pauses) | {n_samples})
    spans: list[tuple[int, int]] = []
    position = 0
    for word in text.split():
        position = text.index(word, position)
        begins = [starts[p] for p in range(position, position + len(word)) if p in starts]
        if begins:
            spans.append((begins[0], next((bound for bound in bounds if bound > begins[-1]), n_samples)))
        else:
            spans.append(spans[-1] if spans else (0, bounds[0]))
        position += len(word)
    return spans


def phone_spans(events: list, n_samples: int) -> list[tuple[str, int, int]]:
    """Name, start and end sample of each phone and pause. It ends where the next begins."""
    said = [event for event in events if event.type == PHONEME and event.name]
    ends = [*(event.sample for event in said[1:]), n_samples]
    return [(event.name, event.sample, end) for event, end in zip(said, ends)]


def _synthesize(text: str, voice: Voice) -> tuple[np.ndarray, list[_Event], int]:
    library, sample_rate = _load_library()
    blocks, events = [], []

    def receive(samples, count, event):
        if samples and count > 0:
            blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while event[index].type:
            e = event[index]
            name = e.id.string.decode(errors="replace") if e.type == PHONEME else ""
            events.append(_Event(e.type, e.text_position - 1, e.length, e.sample, name))
            index += 1
        return 0

    callback = _CALLBACK(receive)
    try:
        if library.espeak_SetVoiceByName(voice.name.encode()):
            raise UserError("voice", voice.name, "is unknown to espeak-ng", "for example en-us+m3")
        for parameter, value in (
            (RATE_PARAMETER, voice.rate),
            (PITCH_PARAMETER, voice.pitch),
            (RANGE_PARAMETER, voice.range),
        ):
            library.espeak_SetParameter(parameter, value, 0)
        library.espeak_SetSynthCallback(callback)
        data = text.encode()
        library.espeak_Synth(data, len(data) + 1, 0, CHARACTER_POSITIONS, 0, UTF8, None, None)
    finally:
        library.espeak_Terminate()
        _ctypes.dlclose(library._handle)
    if not blocks:
        raise UserError("text to speak", repr(text), "gave no sound", "use words of the voice's language")
    return np.concatenate(blocks), events, sample_rate


def _load_library() -> tuple[ctypes.CDLL, int]:
    try:
        import espeakng_loader
    except ImportError as error:
        raise UserError(
            "espeakng_loader", "not installed", "is needed for speech", "pip install -r requirements-demo.txt"
        ) from error
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    sample_rate = library.espeak_Initialize(
        SYNCHRONOUS_OUTPUT, 0, espeakng_loader.get_data_path().encode(), PHONEME_EVENTS | DONT_EXIT
    )
    library.espeak_ng_SetRandSeed(ctypes.c_long(0))
    return library, sample_rate
