"""How likely and how varied is what a model says? GenPPL and Auto-BLEU (Lakhotia et al. 2021).

Either alone deceives: a model that repeats itself has a low perplexity, one that draws words by chance a low
Auto-BLEU. So both are reported, and both of the true continuations.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.metrics.perplexity import auto_bleu, estimate_auto_bleu, estimate_perplexity
from spirit_jax.evals.metrics.word_errors import normalise
from spirit_jax.evals.suites.continuations import Direction
from spirit_jax.evals.suites.continued_texts import Beginning, continue_in_words, cut_records
from spirit_jax.evals.task import Result, ResultKind
from spirit_jax.generation.options import Options
from spirit_jax.tokens.interleave import Arrangement
from spirit_jax.tokens.vocabulary import Modality

MAX_ITEMS = 128  # generating speech takes long


@dataclasses.dataclass(frozen=True)
class GeneratedPerplexity:
    """A judge's perplexity of the words of continuations after the words of their prompts. An item is a
    record cut in two.

    details: `auto_bleu`, `auto_bleu_low`, `auto_bleu_high`, `words` (a continuation's mean), `original` (the
    same of the true continuations), `judge`, `asr` (what wrote speech), `sampling`, `set_aside`. rows: of
    each continuation.
    """

    direction: Direction
    description: str = "How likely a language model finds the words of continuations."
    kind: ResultKind = ResultKind.PERPLEXITY
    learned_from: tuple[Arrangement, ...] = ()

    @property
    def title(self) -> str:
        """The direction's."""
        return f"Perplexity of continuations, {self.direction.title.lower()}"

    @property
    def needs_speech(self) -> bool:
        """Unless it is from text to text."""
        return Modality.SPEECH in (self.direction.prompt, self.direction.target)

    @property
    def judges(self) -> tuple[str, ...]:
        """A language model, and a recogniser for speech."""
        return ("judge_lm",) if self.direction.target is Modality.TEXT else ("judge_lm", "asr")

    def items(self, evaluation: Evaluation) -> list[Beginning]:
        """The first records that can be cut."""
        return cut_records(evaluation, self.direction, MAX_ITEMS)

    def score(self, evaluation: Evaluation, items: Sequence[Beginning]) -> Result:
        """Continues the beginnings, and judges the words."""
        if not items:
            return Result(None, None, 0, self.kind)
        target = self.direction.target
        said = continue_in_words(evaluation, [one.prompt for one in items], target)
        rows = _judge(evaluation, items, said)
        measured = _summarize(rows, evaluation.seed)
        original = _summarize(_judge(evaluation, items, [one.rest for one in items]), evaluation.seed)
        silent = len(items) - len(rows)
        details = {
            **{name: value for name, value in measured.items() if name not in ("value", "low", "high")},
            "original": original,
            "judge": evaluation.judges.language_model.about,
            **({"asr": evaluation.judges.recogniser.about} if target is Modality.SPEECH else {}),
            "sampling": dataclasses.asdict(Options().sampling),
            "set_aside": {"nothing_said": silent} if silent else {},
        }
        interval = (measured["low"], measured["high"]) if rows else None
        return Result(measured["value"], interval, len(rows), self.kind, details, tuple(rows))


def _judge(evaluation: Evaluation, items: Sequence[Beginning], texts: Sequence[str]) -> list[dict]:
    """A row for each text that says something."""
    pairs = [(one.text, text) for one, text in zip(items, texts, strict=True)]
    scores = zip(*evaluation.judges.language_model.score_texts(pairs))
    return [
        {
            "id": one.id,
            "prompt": one.text,
            "continuation": text,
            "nats": float(nats),
            "tokens": int(tokens),
            "auto_bleu": auto_bleu(text),
        }
        for one, text, (nats, tokens) in zip(items, texts, scores)
        if tokens
    ]


def _summarize(rows: Sequence[dict], seed: int) -> dict:
    """Perplexity and Auto-BLEU with their intervals, and the mean number of words."""
    nats, tokens = (np.array([row[name] for row in rows]) for name in ("nats", "tokens"))
    perplexity = estimate_perplexity(nats, tokens, seed)
    repeated = estimate_auto_bleu([row["continuation"] for row in rows], seed)
    words = [len(normalise(row["continuation"]).split()) for row in rows]
    low, high = perplexity.interval or (None, None)
    bleu_low, bleu_high = repeated.interval or (None, None)
    return {
        "value": perplexity.value,
        "low": low,
        "high": high,
        "auto_bleu": repeated.value,
        "auto_bleu_low": bleu_low,
        "auto_bleu_high": bleu_high,
        "words": sum(words) / len(words) if words else None,
    }
