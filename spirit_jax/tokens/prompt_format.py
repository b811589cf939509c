"""From text and speech to prompt ids, and from generated ids back to text and speech."""

import dataclasses
import enum
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.tokens.streams import SpeechTokens, SpokenUnits
from spirit_jax.tokens.strings import carry
from spirit_jax.tokens.text import TextTokenizer
from spirit_jax.tokens.vocabulary import Modality, TokenClass, Vocabulary, merge

Said = str | SpokenUnits  # what is read from generated ids
# what a prompt is made of; an array holds ids of speech, taken as they are
Part = str | SpeechTokens | np.ndarray
# shorter runs are dropped from arbitrary output (observed in Meta's release, which counts one too many)
MIN_SPEECH_UNITS = 24


class Run(NamedTuple):
    """Generated ids [begin, end) of one modality, and what they say."""

    said: Said
    begin: int
    end: int


class Task(enum.Enum):
    """What a prompt asks for: continue in any modality, transcribe speech, or read a text aloud."""

    CONTINUE = "continue"
    TRANSCRIBE = "transcribe"
    SPEAK = "speak"


@dataclasses.dataclass(frozen=True)
class PromptFormat:
    """A model's tokens: how its prompts are written and its output is read. Markers as in training
    (`DataConfig`).
    """

    vocabulary: Vocabulary
    tokenizer: TextTokenizer
    asr_marker: str
    tts_marker: str

    def encode(self, parts: Sequence[Part], task: Task, output: Modality) -> np.ndarray:
        """Prompt ids, int32, from BOS on: the parts, a tag where the modality changes, then the tag of the
        output's modality if it is another.

        TRANSCRIBE: BOS [Speech] speech [Text] marker. SPEAK: BOS [Text] marker text [Speech]. ARBITRARY
        output gets no tag. A text is encoded as it is; after another part its first word is spelled as inside
        a sentence, as in training. UserError for an empty prompt, one whose parts don't suit the task, or
        speech where the vocabulary has none.
        """
        vocabulary = self.vocabulary
        kinds = [Modality.TEXT if isinstance(part, str) else Modality.SPEECH for part in parts]
        if not kinds or any(
            kind is Modality.SPEECH and not length_of(part) for kind, part in zip(kinds, parts)
        ):
            raise UserError(
                "prompt", list(parts), "must hold text or speech", "give at least one text or sound"
            )
        needed = {Task.TRANSCRIBE: Modality.SPEECH, Task.SPEAK: Modality.TEXT}.get(task)
        if needed and set(kinds) != {needed}:
            raise UserError(
                "prompt",
                [kind.value for kind in kinds],
                f"to {task.value} takes {needed.value} alone",
                "choose another task or prompt",
            )
        if not vocabulary.has_speech and {*kinds, output} != {Modality.TEXT}:
            raise UserError(
                "prompt",
                [kind.value for kind in kinds],
                "this model knows text alone",
                "use a checkpoint with speech tokens",
            )
        ids: list[Sequence[int] | np.ndarray] = [[vocabulary.bos]]
        now = None
        for kind, part in zip(kinds, parts):
            ids.append(self._tag(kind) if kind is not now else [])
            ids.append(self.tokenizer.encode(self.tts_marker) if task is Task.SPEAK and now is None else [])
            ids.append(self._ids(part, inside=now is not None))
            now = kind
        ids.append(self._tag(output) if output not in (now, Modality.ARBITRARY) else [])
        ids.append(self.tokenizer.encode(self.asr_marker) if task is Task.TRANSCRIBE else [])
        return np.concatenate([np.asarray(part, np.int32) for part in ids])

    def decode(self, ids: np.ndarray, least_units: int = 0) -> tuple[Said, ...]:
        """What generated ids say, as runs of text and speech; see `runs`."""
        return tuple(run.said for run in self.runs(ids, least_units))

    def runs(self, ids: np.ndarray, least_units: int = 0) -> Iterator[Run]:
        """The runs of text and speech in generated ids, without tags. A speech run with fewer than
        `least_units` units, or with none at all, is dropped, and so is a text without letters. Padding ids
        say nothing.
        """
        classes = self.vocabulary.classes_of(ids)
        edges = [0, *(np.flatnonzero(np.diff(classes)) + 1).tolist(), len(ids)]
        for begin, end in zip(edges, edges[1:]):
            kind = classes[begin] if end > begin else None
            if kind == TokenClass.TEXT:
                known = ids[begin:end][ids[begin:end] < self.vocabulary.text_size]
                if text := self.tokenizer.decode(known):
                    yield Run(text, begin, end)
            elif kind == TokenClass.SPEECH:
                speech = speech_of(ids[begin:end], self.vocabulary)
                if len(speech.units) >= max(least_units, 1):
                    yield Run(speech, begin, end)

    def _ids(self, part: Part, inside: bool) -> Sequence[int] | np.ndarray:
        if isinstance(part, str):
            return self.tokenizer.encode(part, inside)
        return (
            self.vocabulary.encode_stream(*merge(part, self.vocabulary.streams)[:2])
            if isinstance(part, SpeechTokens)
            else part
        )

    def _tag(self, modality: Modality) -> list[int]:
        if not self.vocabulary.has_speech:
            return []
        return [self.vocabulary.text_tag if modality is Modality.TEXT else self.vocabulary.speech_tag]


def length_of(part: Part) -> int:
    """Letters, units or ids."""
    return len(part.units) if isinstance(part, SpeechTokens) else len(part)


def speech_of(ids: np.ndarray, vocabulary: Vocabulary) -> SpokenUnits:
    """The speech in a run of speech ids; a stream that it never mentions is absent, for the codec
    to choose.
    """
    return carry(*vocabulary.decode_stream(ids), vocabulary.streams)
