"""What a user gives as a prompt: texts, sounds and token strings in any order, in Python, as words of a
command or as JSON.

| part | Python | command | JSON |
|---|---|---|---|
| text, read letter by letter | `str` | `text:...` | `{"text": "..."}` |
| sound file | `Path` | `audio:...` | `{"audio": "..."}` |
| samples | `Wav(samples, rate)` | | |
| token string | `TokenString` | `tokens:...` | `{"tokens": "[Hu3]..."}` |
| codes, ids of speech | `SpeechTokens`, int array | | |
"""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from spirit_jax.core.errors import UserError
from spirit_jax.speech import audio
from spirit_jax.tokens.prompt_format import Part
from spirit_jax.tokens.streams import SAMPLE_RATE, SpeechTokens, Streams
from spirit_jax.tokens.strings import find_tokens, parse_stream
from spirit_jax.tokens.vocabulary import Vocabulary

MAX_SHOWN = 40  # letters of a text in an error
SPEECH_TAG = "[Speech]"
# by the reasons of `audio.BadAudio` for a prompt
AUDIO_FIXES = {
    "missing": "check the path",
    "unreadable": "give a readable wav, flac, mp3, ogg or opus file",
    "empty": "give a file with sound in it",
    "truncated": "copy or record the file again",
    "joined": "give one recording a file",
    "not_finite": "give finite samples",
    "too_loud": "scale the samples to -1 to 1",
    "too_long": "give a shorter recording",
    "high_rate": "resample it",
    "too_short": f"give at least {audio.MIN_SAMPLES / SAMPLE_RATE} s of sound",
    "silent": "give a recording that can be heard",
}


class Wav(NamedTuple):
    """Float samples from -1 to 1, [N] or [channels, N], at `rate` Hz."""

    samples: np.ndarray
    rate: int


class TokenString(str):
    """Speech as tokens, such as `[St71][Pi39][Hu99]`; a `[Speech]` before it makes no difference."""


Sound = Wav | Path | epath.Path
Input = str | TokenString | Sound | SpeechTokens | np.ndarray


class BadSound(UserError):
    """A sound that cannot be used. `reason` is a short slug for counting, one of AUDIO_FIXES."""

    def __init__(self, what: object, error: audio.BadAudio):
        super().__init__("audio", what, str(error), AUDIO_FIXES[error.reason])
        self.reason = error.reason


def as_prompts(inputs: Any) -> list[list[Input]]:
    """One prompt, or many, as a list of prompts. A prompt is a list of parts; a part alone is one too."""
    if not isinstance(inputs, list | tuple) or isinstance(inputs, Wav):
        return [[_checked(inputs)]]
    nested = [isinstance(one, list | tuple) and not isinstance(one, Wav) for one in inputs]
    if all(nested):
        return [[_checked(part) for part in prompt] for prompt in inputs]
    if any(nested):
        rule = "mixes parts and lists of parts"
        raise UserError(
            "inputs", type(inputs).__name__, rule, "give one list of parts, or a list of such lists"
        )
    return [[_checked(part) for part in inputs]]


def load_sound(sound: str | Sound, max_seconds: float | None = None) -> np.ndarray:
    """At most the first `max_seconds` as float32 [samples] at 16 kHz. BadSound where there is no usable
    sound.
    """
    try:
        if not isinstance(sound, Wav):
            return audio.load(sound, max_seconds)
        _check_rate(sound)
        wav = audio.mix_down(sound.samples)
        count = len(wav) if max_seconds is None else min(len(wav), max_seconds * sound.rate)
        audio.check_numbers(wav)
        return audio.resample(wav[: round(count)], sound.rate)
    except audio.BadAudio as error:
        named = f"{len(sound.samples)} samples" if isinstance(sound, Wav) else sound
        raise BadSound(named, error) from error


def load_sounds(parts: Sequence[Input], max_seconds: float | None = None) -> list[Input]:
    """The parts, with samples in place of files; see `load_sound`."""
    return [
        Wav(load_sound(part, max_seconds), SAMPLE_RATE) if isinstance(part, Sound) else part for part in parts
    ]


def read_tokens(string: str, vocabulary: Vocabulary) -> np.ndarray:
    """Ids of the speech in a token string: int32 [N]. UserError for other text in it, and for none."""
    bare = string.strip().removeprefix(SPEECH_TAG)
    found = find_tokens(bare, vocabulary.streams)
    if not found or "".join(match[0] for match in found) != bare or SPEECH_TAG in bare or "[Text]" in bare:
        rule, fix = "must be speech tokens alone, such as [Hu3][Hu5]", "give text as a part of its own"
        raise UserError("tokens", repr(_shorten(string)), rule, fix)
    return vocabulary.encode_stream(*parse_stream(bare, vocabulary.streams))


def check_text(text: str, streams: Streams) -> None:
    """UserError for a text that spells tokens: it would be read letter by letter."""
    if found := find_tokens(text, streams):
        rule = (
            f"spells {len(found)} tokens, the first {found[0][0]} at letter {found[0].start() + 1}, but a "
            "text is read letter by letter"
        )
        fix = "give speech as audio or as tokens, and leave tags out: they are added"
        raise UserError("text", repr(_shorten(text)), rule, fix)


def read_word(word: str) -> Input:
    """A part as a word of a command: `text:...`, `audio:...` or `tokens:...`."""
    kind, colon, content = word.partition(":")
    if not colon or kind not in ("text", "audio", "tokens"):
        rule = "must begin with text:, audio: or tokens:"
        raise UserError("--prompt", repr(_shorten(word)), rule, 'for example --prompt text:"good morning"')
    return _part(kind, content)


def read_prompt(parts: Any, read_audio: Callable[[str], Sound]) -> list[Input]:
    """A prompt as JSON: a text, or a list of parts (see the module). read_audio: the sound that the string
    under "audio" stands for.
    """
    if isinstance(parts, str):
        return [parts]
    if not isinstance(parts, list) or not parts:
        raise UserError("prompt", parts, "must be a text or a list of parts", 'for example [{"text": "hi"}]')
    inputs = []
    for part in parts:
        if not isinstance(part, dict) or len(part) != 1 or not part.keys() <= {"text", "audio", "tokens"}:
            raise UserError("part", part, "must have one key: text, audio or tokens", "correct it")
        ((kind, content),) = part.items()
        if not isinstance(content, str):
            raise UserError(kind, content, "must be a string", "correct it")
        inputs.append(read_audio(content) if kind == "audio" else _part(kind, content))
    return inputs


def encode_inputs(
    inputs: Sequence[Input], vocabulary: Vocabulary, heard: Iterator[SpeechTokens]
) -> list[Part]:
    """The parts as the prompt's format takes them. heard: gives the codes of each sound, in order."""
    parts: list[Part] = []
    for one in inputs:
        if isinstance(one, Sound):
            parts.append(next(heard))
        elif isinstance(one, TokenString):
            parts.append(read_tokens(one, vocabulary))
        else:
            if isinstance(one, str):
                check_text(one, vocabulary.streams)
            parts.append(one)
    return parts


def _part(kind: str, content: str) -> Input:
    made = {"text": str, "audio": Path, "tokens": TokenString}
    return made[kind](content)


def _checked(part: Any) -> Input:
    """The part. UserError for what is none."""
    is_ids = isinstance(part, np.ndarray) and np.issubdtype(part.dtype, np.integer) and part.ndim == 1
    if is_ids or isinstance(part, (str, Wav, SpeechTokens)):
        return part
    if isinstance(part, os.PathLike):
        return part  # type: ignore[return-value]
    fix = "give a str, a Path, Wav(samples, rate), TokenString or SpeechTokens"
    raise UserError("part of a prompt", type(part).__name__, "is neither text nor speech", fix)


def _check_rate(wav: Wav) -> None:
    if isinstance(wav.rate, bool) or not isinstance(wav.rate, (int, np.integer)) or wav.rate < 1:
        raise UserError(
            "rate", wav.rate, "must be samples a second, from 1", "for example Wav(samples, 16000)"
        )


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
