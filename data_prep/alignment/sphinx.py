"""English word times by pocketsphinx, whose wheel contains an acoustic model and a dictionary.

The readings of a text are paths of a finite-state grammar; the decoder finds the path and its times.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_prep.alignment.pronunciation import pronounce
from data_prep.alignment.spelling import Reading, Spelled
from data_prep.alignment.times import Aligned, NotAligned, Timed, assemble
from spirit_jax.core.errors import UserError
from spirit_jax.tokens.streams import SAMPLE_RATE

FRAME = 0.01  # seconds
PADDING = 0.3  # seconds of silence before and after the sound: without it first and last words get lost
SHORTEST_WORD = 0.03  # seconds: three states of one phone
# Standard deviations of the noise that is added: digital silence has no likelihood. The first gives more
# exact times; where it gives no path, the second is tried.
NOISES = (0.0003, 0.005)
# nats a frame, by which a word may be less likely than the best density of any phone, for a score of 1 / e:
# words of a right text have 2, of a wrong one 5
TOLERANCE = 4.0
# Recordings from this length on are searched with wider beams than pocketsphinx's own, which lose the path of
# a minute of sound. In shorter ones a lost path shows that the text is another one.
LONG_SECONDS = 20.0
LONGEST_SECONDS = (
    1800.0  # the search's time for each second of sound grows with the length: 19 x real time at 600 s
)
WIDE_BEAMS = {"beam": 1e-100, "wbeam": 1e-80, "pbeam": 1e-100}
SHIFT = 1 << 10  # pocketsphinx stores acoustic scores divided by this
LEAST = 1e-300

Transition = tuple[int, int, float, str]
Spans = Sequence[tuple[str, float, float]]  # names, each with its start and end in seconds
SILENCE, PAUSE = "SIL", "_"


class Sphinx:
    """A decoder with its dictionary. wide: for recordings from LONG_SECONDS on."""

    def __init__(self, wide: bool = False):
        self._decoder, self._known = make_decoder(wide), {}

    def align(self, wav: np.ndarray, spelled: Sequence[Spelled]) -> Aligned:
        """Word times of mono 16 kHz samples. NotAligned, with the reason, if the decoder finds no path."""
        readings = [tuple(filter(self._sayable, word.readings)) for word in spelled]
        if not any(readings):
            raise NotAligned("no_spoken_words", "no word of its text is spoken, or none can be pronounced")
        _require_length(wav, spelled, readings)
        if len(wav) > LONGEST_SECONDS * SAMPLE_RATE:
            rule = f"{len(wav) / SAMPLE_RATE:.0f} s, pocketsphinx takes {LONGEST_SECONDS:.0f} s"
            raise NotAligned(
                "too_long", f"{rule}: align with --ctc or --times, or give parts with their texts"
            )
        self._decoder.add_fsg("text", grammar(self._decoder, spelled, readings))
        self._decoder.activate_search("text")
        for noise in NOISES:
            segments = self._decode(prepare(wav, noise))
            said = [segment for segment in segments if segment.word[0] not in "<[("]
            paths = match_path([segment.word.partition("(")[0] for segment in said], spelled, readings)
            if segments and paths is not None:
                times = [_timed([said[i] for i in path]) if path else None for path in paths]
                unexplained = sum(map(_frames, filter(_is_filler, segments))) * FRAME
                return assemble(spelled, times, len(wav) / SAMPLE_RATE, unexplained)
        raise NotAligned("no_match", "the decoder finds no path from the text's first word to its last")

    def _decode(self, samples: bytes) -> list[Any]:
        """The segments of the best path; none if no path reaches the end of the grammar."""
        process(self._decoder, samples)
        return list(self._decoder.seg() or ()) if self._decoder.hyp() is not None else []

    def _sayable(self, reading: Reading) -> bool:
        return all(self._know(word) for word in reading)

    def _know(self, word: str) -> bool:
        """Whether the dictionary has the word, or can be given it."""
        if word not in self._known:
            phones = self._decoder.lookup_word(word) or pronounce(word)
            if phones and not self._decoder.lookup_word(word):
                self._decoder.add_word(word, phones, False)
            self._known[word] = bool(phones)
        return self._known[word]


def find_phones(decoder: Any, wav: np.ndarray, text: str) -> tuple[Spans, Spans] | None:
    """The words and the phones of mono 16 kHz samples; a pause is a phone named _. None if no path is found.

    text: words of the decoder's dictionary.
    """
    samples = prepare(wav, NOISES[0])
    decoder.set_align_text(text)
    process(decoder, samples)
    if decoder.hyp() is None:
        return None
    decoder.set_alignment()
    process(decoder, samples)
    # an entry is gone with its iterator
    found = [_span(word, word.name.partition("(")[0]) for word in decoder.get_alignment()]
    words = [span for span in found if span[0][0] not in "<["]
    phones = [phone for word in decoder.get_alignment() for phone in word]
    return words, [_span(phone, PAUSE if phone.name == SILENCE else phone.name) for phone in phones]


def require_pocketsphinx() -> Any:
    """The package. UserError if it is missing."""
    try:
        import pocketsphinx
    except ImportError as error:
        fix = "pip install -r requirements-align.txt"
        raise UserError("pocketsphinx", "not installed", "is needed to align", fix) from error
    return pocketsphinx


def make_decoder(wide: bool) -> Any:
    """A decoder of the wheel's English model."""
    options = {"lm": None, "samprate": float(SAMPLE_RATE), "bestpath": False, "loglevel": "FATAL"}
    return require_pocketsphinx().Decoder(**options, **(WIDE_BEAMS if wide else {}))


def prepare(wav: np.ndarray, noise: float) -> bytes:
    """16-bit samples with padding and noise; equal sound gives equal bytes."""
    silence = np.zeros(round(PADDING * SAMPLE_RATE), np.float32)
    padded = np.concatenate([silence, wav, silence])
    padded = padded + np.float32(noise) * _noise(len(padded))
    return (np.clip(padded, -1, 1) * 32767).astype(np.int16).tobytes()


def process(decoder: Any, samples: bytes) -> None:
    """An utterance by itself."""
    decoder.start_stream()  # forgets the noise of the recording before
    decoder.start_utt()
    try:
        decoder.process_raw(samples, full_utt=True)
    finally:
        decoder.end_utt()


@functools.lru_cache(maxsize=1)
def _seed_noise(samples: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(samples, np.float32)


def _noise(samples: int) -> np.ndarray:
    """The same noise for every recording, repeated every minute."""
    return np.resize(_seed_noise(60 * SAMPLE_RATE), samples)


def _require_length(
    wav: np.ndarray, spelled: Sequence[Spelled], readings: Sequence[Sequence[Reading]]
) -> None:
    """NotAligned if the sound is too short for the text, whatever its words are."""
    words = sum(min(map(len, ways)) for word, ways in zip(spelled, readings) if ways and not word.optional)
    seconds = len(wav) / SAMPLE_RATE
    if words * SHORTEST_WORD > seconds:
        raise NotAligned("too_little_sound", f"{words} spoken words in {seconds:.2f} s")


def grammar(decoder: Any, spelled: Sequence[Spelled], readings: Sequence[Sequence[Reading]]) -> Any:
    """A finite-state grammar with one path for each choice of readings.

    Neighbours that are optional are spoken together or not at all.
    """
    transitions, here, states, aside = [], 0, 1, None
    for word, ways in zip(spelled, readings):
        if not ways:
            continue
        if aside is not None and not word.optional:
            transitions.append((aside, here, 0.5))
        aside = None if not word.optional else here if aside is None else aside
        end, states = states, states + 1
        for reading in ways:
            inner = list(range(states, states + len(reading) - 1))
            states += len(inner)
            steps = zip([here, *inner], [*inner, end], reading)
            transitions += [(a, b, 1.0 / len(ways) if a == here else 1.0, said) for a, b, said in steps]
        here = end
    if aside is not None:
        transitions.append((aside, here, 0.5))
    return decoder.create_fsg("text", 0, here, transitions)


def match_path(
    said: Sequence[str], spelled: Sequence[Spelled], readings: Sequence[Sequence[Reading]]
) -> list[range] | None:
    """For each written word the indices of `said` that are its reading, empty for none. None if `said` is not
    a path of the grammar.
    """
    came_from: list[dict[int, int]] = []
    reached = {0}
    for word, ways in zip(spelled, readings):
        steps = {}
        for at in sorted(reached):
            for reading in [*ways, *([()] if word.optional or not ways else [])]:
                if tuple(said[at : at + len(reading)]) == reading:
                    steps.setdefault(at + len(reading), at)
        came_from.append(steps)
        reached = set(steps)
    if len(said) not in reached:
        return None
    at, paths = len(said), []
    for steps in reversed(came_from):
        paths.append(range(steps[at], at))
        at = steps[at]
    return paths[::-1]


def _timed(segments: Sequence[Any]) -> Timed:
    log_ratio = sum(math.log(max(segment.ascore, LEAST)) for segment in segments) * SHIFT
    score = math.exp(log_ratio / sum(map(_frames, segments)) / TOLERANCE)
    start, end = segments[0].start_frame, segments[-1].end_frame + 1
    return Timed(_seconds(start), _seconds(end), min(1.0, score))


def _span(part: Any, name: str) -> tuple[str, float, float]:
    return name, _seconds(part.start), _seconds(part.start + part.duration)


def _seconds(frame: int) -> float:
    """Of a frame in the sound without its padding."""
    return max(0.0, frame * FRAME - PADDING)


def _frames(segment: Any) -> int:
    return segment.end_frame + 1 - segment.start_frame


def _is_filler(segment: Any) -> bool:
    """Whether sound that is not silence is none of the text's words."""
    return segment.word[0] == "["
