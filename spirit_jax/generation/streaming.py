"""A continuation as it comes: new tokens, new letters of a text, new sound of speech.

What was sent never changes: the texts and sounds of an output's parts, put together, are those of the
output. Sound is sent as far as further units do not change it (`Decoder.count_settled`), in sections that
grow, since each also computes what is near it. A decoder whose sound depends on the whole utterance gives a
part's sound at its end.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from spirit_jax.generation.jobs import Continuation
from spirit_jax.generation.output import Output, first_stop
from spirit_jax.speech.codec import Codec
from spirit_jax.tokens.prompt_format import PromptFormat
from spirit_jax.tokens.streams import SpokenUnits
from spirit_jax.tokens.text import INCOMPLETE

FIRST_SECTION, LONGEST_SECTION = 8, 64  # units; our choice


@dataclasses.dataclass(frozen=True)
class NewTokens:
    """ids: int32, further ones. log_probs: of each, float32 in nats."""

    ids: np.ndarray
    log_probs: np.ndarray


@dataclasses.dataclass(frozen=True)
class NewText:
    """Further letters of the output's part with this number."""

    part: int
    text: str


@dataclasses.dataclass(frozen=True)
class NewSound:
    """Further samples of the output's part with this number: float32 at 16 kHz."""

    part: int
    wav: np.ndarray


Event = NewTokens | NewText | NewSound | Output


@dataclasses.dataclass
class Progress:
    """What was sent of a run. part: its number in the output; None before anything was sent."""

    part: int | None = None
    letters: int = 0
    units: int = 0


class Stream:
    """What is new in a continuation that grows. codec: gives the codec, at the first sound."""

    def __init__(
        self,
        form: PromptFormat,
        codec: Callable[[], Codec],
        stops: Sequence[str] = (),
        least_units: int = 0,
        voice: tuple[int | None, int | None] = (None, None),
    ):
        self._form, self._codec, self._stops = form, codec, stops
        self._least_units, self._voice = max(least_units, 1), voice
        self._tokens, self._parts = 0, 0
        self._runs: dict[int, Progress] = {}  # by the token at which a run begins

    def feed(self, so_far: Continuation) -> Iterator[NewTokens | NewText | NewSound]:
        """What is new since the last call. so_far: that continuation with more ids, or with a `finish`."""
        if len(so_far.ids) > self._tokens:
            yield NewTokens(so_far.ids[self._tokens :], so_far.log_probs[self._tokens :])
            self._tokens = len(so_far.ids)
        for run in self._form.runs(so_far.ids):
            progress = self._runs.setdefault(run.begin, Progress())
            ended = so_far.finish is not None or run.end < len(so_far.ids)
            yield from (
                self._send_sound(run.said, progress, ended)
                if isinstance(run.said, SpokenUnits)
                else self._send_text(run.said, progress, ended)
            )

    def _send_text(self, text: str, progress: Progress, ended: bool) -> Iterator[NewText]:
        text = text[: first_stop(text, self._stops)]
        if not ended:
            text = text[: _safe_length(text, self._stops)]
        if new := text[progress.letters :]:
            yield NewText(self._number(progress), new)
            progress.letters = len(text)

    def _send_sound(self, spoken: SpokenUnits, progress: Progress, ended: bool) -> Iterator[NewSound]:
        if len(spoken.units) < self._least_units:
            return
        ready = len(spoken.units) if ended else self._codec().count_settled(spoken)
        while (new := ready - progress.units) > 0:
            wanted = min(LONGEST_SECTION, max(FIRST_SECTION, progress.units))
            if new < wanted and not ended:
                return
            last = progress.units + min(new, wanted)
            last = ready if progress.units == 0 and ended else last  # nothing was sent: all at once
            wav = self._codec().decode_section(spoken, progress.units, last, *self._voice)
            yield NewSound(self._number(progress), wav)
            progress.units = last

    def _number(self, progress: Progress) -> int:
        """The part's number: runs are sent in order, and those that are dropped are never sent."""
        if progress.part is None:
            progress.part, self._parts = self._parts, self._parts + 1
        return progress.part


def _safe_length(text: str, stops: Sequence[str]) -> int:
    """How many letters of a text that goes on can be sent: neither half a character nor the beginning of a
    stop.
    """
    end = len(text.rstrip(INCOMPLETE))
    beginnings = [n for stop in stops for n in range(1, len(stop)) if text[:end].endswith(stop[:n])]
    return end - max(beginnings, default=0)
