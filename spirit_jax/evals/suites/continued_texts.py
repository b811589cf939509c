"""What a model says after a prompt, in words: its texts, or a recogniser's transcripts of its speech."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.suites.continuations import Direction, find_cut, spoken_beginning
from spirit_jax.tokens.prompt_format import Part, Task
from spirit_jax.tokens.vocabulary import Modality


@dataclasses.dataclass(frozen=True)
class Beginning:
    """A record cut in two. prompt: the first part as text or as ids of speech. text, rest: the words of the
    first part and of the second.
    """

    id: str
    prompt: Part
    text: str
    rest: str


def cut_records(evaluation: Evaluation, direction: Direction, most: int) -> list[Beginning]:
    """The beginnings of the first `most` fitting records that can be cut."""
    lm, found = evaluation.lm, []
    for record in evaluation.fitting_records:
        record, words, cut = find_cut(record, lm.vocabulary, lm.tokenizer)
        if cut is None:
            continue
        text, rest = " ".join(words[:cut]), " ".join(words[cut:])
        prompt: Part = text
        if direction.prompt is Modality.SPEECH:
            prompt = spoken_beginning(record, cut, lm.vocabulary)
        found.append(Beginning(record.id, prompt, text, rest))
        if len(found) == most:
            break
    return found


def continue_in_words(evaluation: Evaluation, prompts: Sequence[Part], output: Modality) -> list[str]:
    """A continuation of each prompt, sampled with the paper's settings, as words; "" where nothing is said.

    Speech is heard alone, without its prompt.
    """
    said = evaluation.lm.generate(
        [[prompt] for prompt in prompts], output=output, task=Task.CONTINUE, seed=evaluation.seed
    )
    if output is Modality.TEXT:
        return [one.text.strip() for one in said]
    nothing = np.zeros(0, np.float32)
    wavs = [np.concatenate([nothing, *(part.wav for part in one.speech)]) for one in said]
    return [text.strip() for text in evaluation.judges.recogniser.transcribe(wavs)]
