"""The loss on held-out records as text, as speech and interleaved."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.metrics.intervals import estimate_ratio
from spirit_jax.evals.task import Result, ResultKind
from spirit_jax.generation.spirit_lm import SpiritLM
from spirit_jax.scoring.likelihood import log_probs
from spirit_jax.tokens.interleave import Arrangement, arrange
from spirit_jax.tokens.long_documents import cut_document
from spirit_jax.tokens.vocabulary import TokenClass, Vocabulary

PAIRED = (Arrangement.ASR, Arrangement.TTS)


@dataclasses.dataclass(frozen=True)
class Document:
    """Ids of a record (by its index) in one arrangement, or a stretch of them if they are too long; the first
    `given` are not predicted.
    """

    record: int
    arrangement: Arrangement
    ids: np.ndarray
    given: int


@dataclasses.dataclass(frozen=True)
class HeldOutLoss:
    """Mean negative log-likelihood in nats a token. An item is a document.

    Documents have no EOS, so that models trained with it and without compare. The value is the mean over all
    targets of text, speech and interleaved documents, its interval over records. details: {arrangement:
    {"nll": {class: mean}, "tokens": {class: count}}} by the target's class, without classes that did not
    occur in "nll". They include transcription and reading aloud where the model has learned them, so that
    the loss on speech after its text can be compared with that on speech alone.
    """

    title: str = "Loss"
    description: str = "Nats a token of held-out records as text, as speech and interleaved."
    kind: ResultKind = ResultKind.LOSS
    needs_speech: bool = False
    learned_from: tuple[Arrangement, ...] = ()
    judges: tuple[str, ...] = ()

    def items(self, evaluation: Evaluation) -> list[Document]:
        """Every record in every arrangement that the vocabulary has."""
        return [
            document
            for arrangement in _arrangements(evaluation.lm)
            for document in _documents(evaluation, arrangement)
        ]

    def score(self, evaluation: Evaluation, items: Sequence[Document]) -> Result:
        """The mean over all targets, and by arrangement and class in the details."""
        lm, details = evaluation.lm, {}
        nll, tokens = np.zeros(len(evaluation.records)), np.zeros(len(evaluation.records), np.int64)
        for arrangement in _arrangements(lm):
            documents = [item for item in items if item.arrangement is arrangement]
            scored = log_probs(
                lm.llama, [(item.ids[: item.given], item.ids[item.given :]) for item in documents]
            )
            details[arrangement.value] = _by_class(documents, scored, lm.vocabulary)
            if arrangement in PAIRED:
                continue
            for item, log_prob in zip(documents, scored):
                nll[item.record] -= log_prob.sum(dtype=np.float64)
                tokens[item.record] += len(log_prob)
        measured = tokens > 0
        mean = estimate_ratio(nll[measured], tokens[measured], evaluation.seed)
        return Result(mean.value, mean.interval, mean.n, self.kind, details)


def _arrangements(lm: SpiritLM) -> tuple[Arrangement, ...]:
    if not lm.vocabulary.has_speech:
        return (Arrangement.TEXT,)
    paired = (arrangement for arrangement in PAIRED if arrangement in lm.arrangements)
    return (Arrangement.TEXT, Arrangement.SPEECH, Arrangement.INTERLEAVED, *paired)


def _documents(evaluation: Evaluation, arrangement: Arrangement) -> list[Document]:
    lm, rng = evaluation.lm, np.random.default_rng(evaluation.seed)
    markers = [lm.tokenizer.encode(marker) for marker in (lm.format.asr_marker, lm.format.tts_marker)]
    return [
        Document(index, arrangement, stretch.ids, stretch.given)
        for index, record in enumerate(evaluation.records)
        for ids in arrange(
            record, arrangement, lm.vocabulary, evaluation.spans, rng, *markers, append_eos=False
        )
        for stretch in cut_document(ids, evaluation.max_tokens, lm.vocabulary)
    ]


def _by_class(documents: Sequence[Document], scored: list[np.ndarray], vocabulary: Vocabulary) -> dict:
    nll = -np.concatenate([np.zeros(0, np.float32), *scored])
    classes = np.concatenate(
        [np.zeros(0, np.int8), *(vocabulary.classes_of(item.ids[item.given :]) for item in documents)]
    )
    means = {
        one.name.lower(): float(nll[classes == one].mean(dtype=np.float64))
        for one in TokenClass
        if (classes == one).any()
    }
    counts = {one.name.lower(): int((classes == one).sum()) for one in TokenClass}
    return {"nll": means, "tokens": counts}
