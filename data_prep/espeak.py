"""espeak-ng through its packaged library: text to speech with exact word times.

The library keeps state between utterances (phases, noise, filters), so that a sentence would sound by what
was said before it. It is therefore loaded afresh for every utterance, in under a millisecond: the same
arguments give the same samples, in any order and in any process.
"""

import _ctypes
import ctypes
import dataclasses

import numpy as np

from spirit_jax.core.errors import UserError

RATE_PARAMETER, PITCH_PARAMETER, RANGE_PARAMETER = 1, 3, 4
SYNCHRONOUS_OUTPUT = 2
PHONEME_EVENTS, DONT_EXIT = 0x0001, 0x8000
WORD, PHONEME = 1, 7
CHARACTER_POSITIONS, UTF8 = 1, 1
FAST = 450  # words a minute, the library's upper limit


@dataclasses.dataclass(frozen=True)
class Voice:
    """How a sentence is spoken: an espeak-ng voice (`en-us+m3`), words a minute (80 to 450), pitch and pitch
    range (0 to 99).
    """

    name: str
    rate: int = 175
    pitch: int = 50
    range: int = 50

    def __post_init__(self):
        if not 80 <= self.rate <= FAST or not 0 <= self.pitch <= 99 or not 0 <= self.range <= 99:
            raise UserError(
                "voice", self, f"rate is 80 to {FAST}, pitch and range are 0 to 99", "choose values inside"
            )


@dataclasses.dataclass(frozen=True)
class Spoken:
    """Samples int16 [n] at `sample_rate` and (word, start s, end s) for each word of the text; words that
    espeak-ng says as one share a span.
    """

    samples: np.ndarray
    sample_rate: int
    words: list[tuple[str, float, float]]


@dataclasses.dataclass(frozen=True)
class _Event:
    type: int
    position: int  # character in the text, from 0
    length: int
    sample: int
    name: str  # a phoneme event's phoneme


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
    """Says `text` (words without digits, which espeak-ng would split). UserError: package missing, voice
    unknown, nothing to say, digits.
    """
    if not text.strip() or any(c.isdigit() for c in text):
        raise UserError("text to speak", repr(text), "must have words and no digits", "spell numbers out")
    samples, events, sample_rate = _synthesize(text, voice)
    spans = word_spans(text, events, len(samples))
    words = [
        (word, start / sample_rate, end / sample_rate) for word, (start, end) in zip(text.split(), spans)
    ]
    return Spoken(samples, sample_rate, words)


def word_spans(text: str, events: list, n_samples: int) -> list[tuple[int, int]]:
    """Start and end sample of each word of `text.split()`.

    Word events are told by their text position; blank and repeated ones are dropped; a word without its own
    event belongs to the one before it. A word ends where the next begins, or at a pause before that.
    """
    starts = {}
    for event in events:
        if event.type == WORD and event.length and event.position not in starts:
            starts[event.position] = event.sample
    pauses = [event.sample for event in events if event.type == PHONEME and event.name.startswith("_")]
    bounds = sorted(set(starts.values()) | set(pauses) | {n_samples})
    spans: list[tuple[int, int]] = []
    place = 0
    for word in text.split():
        place = text.index(word, place)
        own = [starts[p] for p in range(place, place + len(word)) if p in starts]
        if own:
            spans.append((own[0], next((bound for bound in bounds if bound > own[-1]), n_samples)))
        else:
            spans.append(spans[-1] if spans else (0, bounds[0]))
        place += len(word)
    return spans


def _synthesize(text: str, voice: Voice) -> tuple[np.ndarray, list[_Event], int]:
    library, sample_rate = _load_library()
    blocks, events = [], []

    def receive(samples, count, event):
        if samples and count > 0:
            blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        place = 0
        while event[place].type:
            e = event[place]
            name = e.id.string.decode(errors="replace") if e.type == PHONEME else ""
            events.append(_Event(e.type, e.text_position - 1, e.length, e.sample, name))
            place += 1
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
            "espeakng_loader", "not installed", "is what speaks", "pip install -r requirements-demo.txt"
        ) from error
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    sample_rate = library.espeak_Initialize(
        SYNCHRONOUS_OUTPUT, 0, espeakng_loader.get_data_path().encode(), PHONEME_EVENTS | DONT_EXIT
    )
    library.espeak_ng_SetRandSeed(ctypes.c_long(0))
    return library, sample_rate
