"""Tasks that a prompt shows by examples: the paper's few-shot ASR, TTS and intent classification (section 4.3
and appendix B).

An example is a recording and its text, in the order of the task. The prompts, the numbers of examples and the
word "stop" are the paper's. Our choices: each item has examples of its own, drawn by the seed; as many of
them as the context holds; answers are greedy.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.few_shot_prompts import (
    Heard,
    Question,
    hear_set,
    make_prompts,
    with_examples,
)
from spirit_jax.evals.layouts.spoken_texts import Spoken, SpokenLayout, SpokenSet
from spirit_jax.evals.layouts.trials import Place
from spirit_jax.evals.metrics.intervals import Estimate, estimate_mean
from spirit_jax.evals.metrics.word_errors import (
    ENGLISH,
    character_error_rate,
    normalise,
    word_error_rate,
)
from spirit_jax.evals.task import Result, ResultKind
from spirit_jax.generation.output import Output, TextPart
from spirit_jax.generation.spirit_lm import SpiritLM
from spirit_jax.tokens.interleave import Arrangement
from spirit_jax.tokens.prompt_format import Task
from spirit_jax.tokens.streams import SpeechTokens
from spirit_jax.tokens.vocabulary import Modality

LENGTH_MARGIN = 1.25  # new tokens, as a multiple of the longest reference
EXAMPLES = 8  # answers in the details


class _OfRecordings:
    """What both tasks do with the recordings of a layout."""

    layout: SpokenLayout

    @property
    def place(self) -> Place:
        """Where the data set is."""
        return self.layout.place

    def fingerprint(self, root: Path, split: str) -> str:
        """Names what is asked and shown."""
        return self.layout.read(root).fingerprint

    def items(self, evaluation: Evaluation) -> list[Spoken]:
        """The recordings that are asked about, also those that are set aside."""
        return list(self.layout.read(evaluation.data_folder(self.place)).asked)


@dataclasses.dataclass(frozen=True)
class FewShotAnswer(_OfRecordings):
    """Text about recordings: their transcript, or their intent.

    before, after: what stands around the text in an example. The answer ends at `after`; without it, where
    the model changes to speech. kind: WORD_ERROR_RATE of transcripts in the normal form of Whisper, or
    ACCURACY of answers that are equal without case and punctuation.

    details: `shots` (wanted, and the least and the mean that fitted), `prompt`, `normalisation`, `examples`
    (the first answers), `set_aside`, `paper`, `data`; `cer` for transcripts, `chance` for intents.
    """

    title: str
    description: str
    layout: SpokenLayout
    shots: int
    before: str
    after: str
    kind: ResultKind
    paper: Mapping[str, float] | None = None
    judges: tuple[str, ...] = ()
    needs_speech: bool = True
    learned_from: tuple[Arrangement, ...] = ()

    def score(self, evaluation: Evaluation, items: Sequence[Spoken]) -> Result:
        """Listens, asks, and compares the answers with the texts."""
        data = with_examples(evaluation, self.layout, items)
        longest = max(len(evaluation.lm.tokenizer.encode(one.text + self.after)) for one in data.asked)
        limit = int(LENGTH_MARGIN * longest) + 1
        heard = hear_set(evaluation, data)
        shown = [(heard.speech[one.sound], self.before + one.text + self.after) for one in heard.shown]
        asked = {one.id: (heard.speech[one.sound], self.before) for one in heard.asked}
        questions = make_prompts(evaluation, heard, shown, asked, self.shots, limit)
        answers = self._answer(evaluation, questions, limit)
        texts = [question.asked.text for question in questions]
        details = {
            "prompt": f"[Speech]...[Text]{self.before}...{self.after}",
            "examples": _rows(questions, answers)[:EXAMPLES],
            **_describe(evaluation, self, data, heard, questions),
        }
        if self.kind is ResultKind.ACCURACY:
            wins = np.array([normalise(one) == normalise(text) for one, text in zip(answers, texts)], float)
            value = estimate_mean(wins, evaluation.seed)
            details["chance"] = 1 / len({one.text for one in data.asked if not one.fault})
        else:
            value = word_error_rate(texts, answers, evaluation.seed, ENGLISH)
            details |= _rates("cer", character_error_rate(texts, answers, evaluation.seed, ENGLISH))
            details["normalisation"] = ENGLISH.name
        rows = tuple(_rows(questions, answers))
        return Result(value.value, value.interval, value.n, self.kind, details, rows)

    def _answer(self, evaluation: Evaluation, questions: Sequence[Question], limit: int) -> list[str]:
        outputs = evaluation.lm.generate(
            [question.prompt for question in questions],
            output=Modality.TEXT if self.after else Modality.ARBITRARY,
            task=Task.CONTINUE,
            max_new_tokens=limit,
            temperature=0,
            seed=evaluation.seed,
        )
        return [self._read(output) for output in outputs]

    def _read(self, output: Output) -> str:
        first = output.parts[0] if output.parts else None
        text = first.text if isinstance(first, TextPart) else ""
        return (text.split(self.after.strip())[0] if self.after else text).strip()


@dataclasses.dataclass(frozen=True)
class FewShotReading(_OfRecordings):
    """Texts read aloud, as a recogniser hears them: the character error rate of its transcripts.

    Texts and recordings of examples end with the word "stop", so the model's end of speech is heard: the
    transcript is cut at the last "stop". details as of `FewShotAnswer`, with `wer` and `asr`, the recogniser.
    """

    title: str
    description: str
    layout: SpokenLayout
    shots: int
    paper: Mapping[str, float] | None = None
    kind: ResultKind = ResultKind.CHARACTER_ERROR_RATE
    judges: tuple[str, ...] = ("asr",)
    needs_speech: bool = True
    learned_from: tuple[Arrangement, ...] = ()

    def score(self, evaluation: Evaluation, items: Sequence[Spoken]) -> Result:
        """Reads aloud, decodes, recognises, and compares the transcripts with the texts."""
        data = with_examples(evaluation, self.layout, items)
        heard = hear_set(evaluation, data)
        stop = heard.speech[data.stop] if data.stop else None
        ending = () if stop is None else (stop,)
        lengths = [_count_tokens(evaluation.lm, heard.speech[one.sound]) for one in heard.asked]
        limit = int(LENGTH_MARGIN * max(lengths, default=1))
        limit += sum(_count_tokens(evaluation.lm, part) for part in ending)
        shown = [(f"{one.text} stop", heard.speech[one.sound], *ending) for one in heard.shown]
        asked = {one.id: (f"{one.text} stop",) for one in heard.asked}
        questions = make_prompts(evaluation, heard, shown, asked, self.shots, limit, Modality.SPEECH)
        answers = self._read_aloud(evaluation, questions, limit)
        texts = [question.asked.text for question in questions]
        value = character_error_rate(texts, answers, evaluation.seed, ENGLISH)
        details = {
            "prompt": "[Text]... stop[Speech]...",
            "examples": _rows(questions, answers)[:EXAMPLES],
            "normalisation": ENGLISH.name,
            "asr": evaluation.judges.recogniser.about,
            **_rates("wer", word_error_rate(texts, answers, evaluation.seed, ENGLISH)),
            **_describe(evaluation, self, data, heard, questions),
        }
        rows = tuple(_rows(questions, answers))
        return Result(value.value, value.interval, value.n, self.kind, details, rows)

    def _read_aloud(self, evaluation: Evaluation, questions: Sequence[Question], limit: int) -> list[str]:
        outputs = evaluation.lm.generate(
            [question.prompt for question in questions],
            output=Modality.SPEECH,
            task=Task.CONTINUE,
            max_new_tokens=limit,
            temperature=0,
            seed=evaluation.seed,
        )
        nothing = np.zeros(0, np.float32)
        wavs = [output.speech[0].wav if output.speech else nothing for output in outputs]
        return [_cut_stop(text) for text in evaluation.judges.recogniser.transcribe(wavs)]


def _count_tokens(lm: SpiritLM, speech: SpeechTokens) -> int:
    return len(lm.format.encode([speech], Task.CONTINUE, Modality.SPEECH))


def _cut_stop(transcript: str) -> str:
    """A transcript without its last "stop" and what follows it."""
    words = transcript.split()
    ends = [i for i, word in enumerate(words) if normalise(word) == "stop"]
    return " ".join(words[: ends[-1]] if ends else words)


def _rows(questions: Sequence[Question], answers: Sequence[str]) -> list[dict]:
    """Each question's text and answer, for the file of all and for the report."""
    return [
        {"id": one.asked.id, "reference": one.asked.text, "transcript": answer, "shots": one.shots}
        for one, answer in zip(questions, answers)
    ]


def _rates(name: str, rate: Estimate) -> dict[str, float | None]:
    low, high = rate.interval or (None, None)
    return {name: rate.value, f"{name}_low": low, f"{name}_high": high}


def _describe(
    evaluation: Evaluation,
    task: FewShotAnswer | FewShotReading,
    data: SpokenSet,
    heard: Heard,
    questions: Sequence[Question],
) -> dict:
    """Details that all these tasks have."""
    shots = [question.shots for question in questions]
    return {
        "shots": {
            "wanted": task.shots,
            "least": min(shots, default=0),
            "mean": round(float(np.mean(shots)), 2) if shots else 0.0,
        },
        "set_aside": dict(heard.set_aside),
        "data": {"folder": str(evaluation.data), "fingerprint": data.fingerprint},
        **({"paper": dict(task.paper)} if task.paper else {}),
    }
