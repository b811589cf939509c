"""The table of evaluation tasks. Each takes held-out records and a model, and returns plain JSON values."""

import functools
from collections.abc import Callable

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.metrics.intervals import estimate_ratio
from spirit_jax.evals.suites import transcription
from spirit_jax.evals.suites.continuations import DIRECTIONS, Direction, make_items
from spirit_jax.generation.likelihood import log_probs
from spirit_jax.tokens.interleave import Arrangement, arrange
from spirit_jax.tokens.vocabulary import TokenClass
from spirit_jax.training.data.packing import cut


def loss(evaluation: Evaluation) -> dict:
    """Mean nll (nats a token) by the target's class, for each record as text, as speech and interleaved.

    Without EOS, so that models which learned it and models which didn't compare.
    """
    lm, results = evaluation.lm, {}
    for arrangement in (Arrangement.TEXT, Arrangement.SPEECH, Arrangement.INTERLEAVED):
        rng = np.random.default_rng(evaluation.seed)
        if arrangement is not Arrangement.TEXT and not lm.vocabulary.has_speech:
            continue
        parts = [
            arrange(record, arrangement, lm.vocabulary, evaluation.spans, rng, append_eos=False)
            for record in evaluation.records
        ]
        documents = [piece for part in parts for ids in part for piece in cut(ids, evaluation.longest)]
        nll = -np.concatenate(
            [np.zeros(0, np.float32), *log_probs(lm.llama, [(ids[:1], ids[1:]) for ids in documents])]
        )
        kinds = np.concatenate(
            [np.zeros(0, np.int8), *(lm.vocabulary.modality_of(ids[1:]) for ids in documents)]
        )
        by_class = {
            kind.name.lower(): float(nll[kinds == kind].mean(dtype=np.float64))
            for kind in TokenClass
            if (kinds == kind).any()
        }
        counts = {kind.name.lower(): int((kinds == kind).sum()) for kind in TokenClass}
        results[arrangement.value] = {"nll": by_class, "tokens": counts}
    return results


def choice(direction: Direction, evaluation: Evaluation) -> dict:
    """Share of (item, distractor) pairs in which the right continuation is likelier a token; ties count half.
    Interval over items.
    """
    lm = evaluation.lm
    items = make_items(evaluation.asked, direction, lm.vocabulary, lm.tokenizer, seed=evaluation.seed)
    scores = lm.score([pair for item in items for pair in item.pairs])
    ends = np.cumsum([len(item.pairs) for item in items])[:-1]
    pairs = np.array([len(item.wrong) for item in items])
    mean_wins, sum_wins = (
        [count_wins(part) for part in np.split(values, ends)] if items else []
        for values in (scores.means, scores.sums)
    )
    estimate = estimate_ratio(np.array(mean_wins), pairs, evaluation.seed)
    by_sum = estimate_ratio(np.array(sum_wins), pairs, evaluation.seed).value
    return {**estimate.to_dict(), "pairs": int(pairs.sum()), "value_of_sums": by_sum}


def count_wins(scores: np.ndarray) -> float:
    """How many of scores[1:] are below scores[0]; a tie is half a win."""
    return float((scores[0] > scores[1:]).sum() + 0.5 * (scores[0] == scores[1:]).sum())


TASKS: dict[str, Callable[[Evaluation], dict]] = {
    "loss": loss,
    **{f"choice_{direction.name}": functools.partial(choice, direction) for direction in DIRECTIONS},
    "wer_s2t": transcription.wer_s2t,
    "wer_t2s": transcription.wer_t2s,
    "wer_t2s_audio": transcription.wer_t2s_audio,
}
GROUPS = {
    "choice": tuple(name for name in TASKS if name.startswith("choice_")),
    "transcription": ("wer_s2t", "wer_t2s", "wer_t2s_audio"),
}


def expand(names: list[str]) -> list[str]:
    """Task names of a list that may hold groups, in the table's order; an unknown one is a UserError."""
    if unknown := [name for name in names if name not in TASKS and name not in GROUPS]:
        raise UserError(
            "--tasks", unknown[0], f"must be among {', '.join([*GROUPS, *TASKS])}", "separate them by commas"
        )
    wanted = {task for name in names for task in GROUPS.get(name, (name,))}
    return [name for name in TASKS if name in wanted]
