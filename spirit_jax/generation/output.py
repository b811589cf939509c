"""What was generated: parts of text and speech, with their tokens, log-probabilities and sound."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np

from spirit_jax.generation.jobs import Continuation, Finish
from spirit_jax.tokens.prompt_format import PromptFormat
from spirit_jax.tokens.streams import SpokenUnits
from spirit_jax.tokens.strings import render_stream

Speak = Callable[[SpokenUnits], np.ndarray]  # units to float32 samples at 16 kHz


@dataclasses.dataclass(frozen=True)
class TextPart:
    """A text. ids, log_probs: of its tokens, int32 and float32 in nats. Before a stop, the text may be
    shorter than its tokens.
    """

    text: str
    ids: np.ndarray
    log_probs: np.ndarray


@dataclasses.dataclass(frozen=True)
class SpeechPart:
    """A stretch of speech. ids, log_probs: of its tokens, int32 and float32 in nats. tokens: the same as a
    token string. speak: makes its sound.
    """

    spoken: SpokenUnits
    ids: np.ndarray
    log_probs: np.ndarray
    tokens: str
    speak: Speak

    @functools.cached_property
    def wav(self) -> np.ndarray:
        """Float32 samples at 16 kHz, made at first use."""
        return self.speak(self.spoken)


@dataclasses.dataclass(frozen=True)
class Output:
    """All that was generated for a prompt. ids: int32 without EOS, tags included. log_probs: of each, float32
    in nats, as the model gives them at temperature 1 with nothing forbidden. parts: what they say, in order.
    """

    ids: np.ndarray
    log_probs: np.ndarray
    parts: tuple[TextPart | SpeechPart, ...]
    finish: Finish

    @property
    def text(self) -> str:
        """All text, joined by spaces."""
        return " ".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def speech(self) -> list[SpeechPart]:
        """The parts that are speech."""
        return [part for part in self.parts if isinstance(part, SpeechPart)]


def read_output(
    form: PromptFormat, continuation: Continuation, stops: Sequence[str], least_units: int, speak: Speak
) -> Output:
    """The parts that a continuation decodes to. Speech of fewer than `least_units` units is no part."""
    ids, log_probs = continuation.ids, continuation.log_probs
    parts: list[TextPart | SpeechPart] = []
    for said, begin, end in form.runs(ids, least_units):
        tokens = ids[begin:end], log_probs[begin:end]
        if isinstance(said, SpokenUnits):
            string = render_stream(*form.vocabulary.decode_stream(ids[begin:end]), form.vocabulary.streams)
            parts.append(SpeechPart(said, *tokens, string, speak))
        elif text := said[: first_stop(said, stops)]:
            parts.append(TextPart(text, *tokens))
    return Output(ids, log_probs, tuple(parts), continuation.finish or Finish.LIMIT)


def first_stop(text: str, stops: Sequence[str]) -> int | None:
    """Where the first stop begins; None where there is none."""
    return min((at for stop in stops if (at := text.find(stop)) >= 0), default=None)


def find_end(form: PromptFormat, stops: Sequence[str], ids: np.ndarray) -> int | None:
    """How many of the ids are needed for the first stop in their texts; None where there is none."""
    for said, begin, end in form.runs(ids):
        if isinstance(said, str) and first_stop(said, stops) is not None:
            return next(n for n in range(begin + 1, end + 1) if _has_stop(form, stops, ids[begin:n]))
    return None


def _has_stop(form: PromptFormat, stops: Sequence[str], ids: np.ndarray) -> bool:
    return any(
        isinstance(run.said, str) and first_stop(run.said, stops) is not None for run in form.runs(ids)
    )
