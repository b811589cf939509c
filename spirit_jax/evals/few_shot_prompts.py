"""Prompts of few-shot tasks: what is shown of a data set, and then what is asked."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.hearing import hear
from spirit_jax.evals.layouts.spoken_texts import Spoken, SpokenLayout, SpokenSet
from spirit_jax.evals.layouts.trials import Sound
from spirit_jax.speech.audio import BadAudio
from spirit_jax.tokens.prompt_format import Part, Task
from spirit_jax.tokens.streams import SpeechTokens
from spirit_jax.tokens.vocabulary import Modality

POOL = 1000  # recordings of which examples are drawn, at most (our choice)


@dataclasses.dataclass(frozen=True)
class Question:
    """A recording, its prompt, and how many examples the prompt has."""

    asked: Spoken
    prompt: tuple[Part, ...]
    shots: int


def with_examples(evaluation: Evaluation, layout: SpokenLayout, items: Sequence[Spoken]) -> SpokenSet:
    """The data set with these items."""
    return dataclasses.replace(layout.read(evaluation.data_folder(layout.place)), asked=tuple(items))


@dataclasses.dataclass(frozen=True)
class Heard:
    """Speech of a data set. asked, shown: what can be used. speech: of each sound. set_aside: by reason."""

    asked: list[Spoken]
    shown: list[Spoken]
    speech: Mapping[Sound, SpeechTokens]
    set_aside: Mapping[str, int]


def hear_set(evaluation: Evaluation, data: SpokenSet) -> Heard:
    """Listens to all that is asked and to POOL of what may be shown. UserError if the word "stop" can't be
    heard.
    """
    rng = np.random.default_rng(evaluation.seed)
    usable = [one for one in data.shown if not one.fault]
    pool = [usable[i] for i in sorted(rng.permutation(len(usable))[:POOL])]
    asked = [one for one in data.asked if not one.fault]
    ending = [data.stop] if data.stop else []
    found = hear(evaluation.lm.codec, [*(one.sound for one in (*asked, *pool)), *ending])
    speech = {sound: tokens for sound, tokens in found.items() if isinstance(tokens, SpeechTokens)}
    for sound in ending:
        if isinstance(bad := found[sound], BadAudio):
            raise UserError("spoken stop", sound.path, str(bad), "record the word again")
    faults = collections.Counter(one.fault for one in data.asked if one.fault)
    faults.update(bad.reason for one in asked if isinstance(bad := found[one.sound], BadAudio))
    return Heard(
        [one for one in asked if one.sound in speech],
        [one for one in pool if one.sound in speech],
        speech,
        dict(faults),
    )


def make_prompts(
    evaluation: Evaluation,
    heard: Heard,
    shown: Sequence[tuple[Part, ...]],
    asked: Mapping[str, tuple[Part, ...]],
    shots: int,
    limit: int,
    output: Modality = Modality.TEXT,
) -> list[Question]:
    """A prompt for each item: its examples, the last drawn first, then what is asked.

    shown: the parts of each example. asked: of each question, by id. limit: new tokens, for which the context
    keeps room.
    """
    lm = evaluation.lm

    def count(parts: Sequence[Part]) -> int:
        return len(lm.format.encode(parts, Task.CONTINUE, output))

    costs, questions = [count(parts) for parts in shown], []
    for number, one in enumerate(heard.asked):
        order = np.random.default_rng((evaluation.seed, number)).permutation(len(shown))[:shots]
        room = evaluation.max_tokens - limit - count(asked[one.id])
        spent = np.cumsum([costs[i] for i in order])
        chosen = order[: int((spent <= room).sum())]
        parts = [part for i in chosen for part in shown[i]]
        questions.append(Question(one, (*parts, *asked[one.id]), len(chosen)))
    return questions
