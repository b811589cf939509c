"""What an evaluation task is, and what it returns."""

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.layouts.trials import Place
from spirit_jax.tokens.interleave import Arrangement


class ResultKind(enum.Enum):
    """What a result's value means. The value is its name in eval.json."""

    ACCURACY = "accuracy"
    WORD_ERROR_RATE = "word_error_rate"
    CHARACTER_ERROR_RATE = "character_error_rate"
    FRAME_ERROR_RATE = "frame_error_rate"
    BIT_RATE = "bit_rate"
    SIMILARITY = "similarity"
    OPINION_SCORE = "opinion_score"
    TOXICITY = "toxicity"
    ABX_ERROR = "abx_error"
    PERPLEXITY = "perplexity"
    LOSS = "loss"

    @property
    def title(self) -> str:
        """A heading for results of this kind."""
        return {
            ResultKind.ACCURACY: "Accuracy",
            ResultKind.WORD_ERROR_RATE: "Word error rate",
            ResultKind.CHARACTER_ERROR_RATE: "Character error rate",
            ResultKind.FRAME_ERROR_RATE: "F0 frame error rate",
            ResultKind.BIT_RATE: "Bits a second",
            ResultKind.SIMILARITY: "Similarity",
            ResultKind.OPINION_SCORE: "Predicted opinion score",
            ResultKind.TOXICITY: "Added toxicity",
            ResultKind.ABX_ERROR: "ABX error",
            ResultKind.PERPLEXITY: "Perplexity",
            ResultKind.LOSS: "Loss",
        }[self]

    @property
    def higher_is_better(self) -> bool:
        """Whether a better model has a higher value."""
        return self in (ResultKind.ACCURACY, ResultKind.SIMILARITY, ResultKind.OPINION_SCORE)

    @property
    def counted(self) -> str:
        """What `Result.n` counts: what the bootstrap resamples."""
        return {
            ResultKind.ACCURACY: "items",
            ResultKind.WORD_ERROR_RATE: "utterances",
            ResultKind.CHARACTER_ERROR_RATE: "utterances",
            ResultKind.FRAME_ERROR_RATE: "utterances",
            ResultKind.BIT_RATE: "utterances",
            ResultKind.SIMILARITY: "records",
            ResultKind.OPINION_SCORE: "utterances",
            ResultKind.TOXICITY: "continuations",
            ResultKind.ABX_ERROR: "phones",
            ResultKind.PERPLEXITY: "continuations",
            ResultKind.LOSS: "records",
        }[self]


@dataclasses.dataclass(frozen=True)
class Result:
    """What a task measured; value and interval are None if there was nothing to measure.

    interval: the ends of the bootstrap 95 % interval. n: see `ResultKind.counted`. details: JSON values that
    only some tasks have, such as `pairs` (comparisons), `examples` (of transcripts), losses by modality,
    `cer`, `cer_low`, `cer_high` (character error rate), `set_aside` (what could not be asked, by reason), or
    `not_measured` (why the task was left out). rows: a JSON object for each trial, with its scores.
    submissions: scores by name of a recording, by the path of a file in ZeroSpeech's format; None: no score.
    predictions: of each run {"id", "pred"} of each item, for a file in STSP's format.
    """

    value: float | None
    interval: tuple[float, float] | None
    n: int
    kind: ResultKind
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    rows: tuple[dict, ...] = ()
    submissions: Mapping[str, Mapping[str, float | None]] = dataclasses.field(default_factory=dict)
    predictions: Sequence[Sequence[dict]] = ()

    @property
    def extent(self) -> str:
        """How much was measured: `20 pairs, 5 items` or `12 utterances`; or why nothing was."""
        if "not_measured" in self.details:
            return f"not measured: {self.details['not_measured']}"
        counted = f"{self.n} {self.kind.counted}"
        counted = f"{self.details['pairs']} pairs, {counted}" if "pairs" in self.details else counted
        reasons = ", ".join(f"{count} {why}" for why, count in self.details.get("set_aside", {}).items())
        return f"{counted}; set aside: {reasons}" if reasons else counted

    @property
    def chance(self) -> float | None:
        """The value of a model that guesses: 0.5 for pairs, else what the details say, or None."""
        return 0.5 if "pairs" in self.details else self.details.get("chance")

    @property
    def losses(self) -> dict[str, dict[str, float]]:
        """Nats a token by arrangement and class of token, where the details hold them (`suites.losses`)."""
        return {
            name: part["nll"]
            for name, part in self.details.items()
            if isinstance(part, Mapping) and "nll" in part
        }


Item = TypeVar("Item")


class Task(Protocol[Item]):
    """One evaluation task: a row of `registry.TASKS`. An item is one question of the task."""

    @property
    def title(self) -> str:
        """A few words for tables of the report."""
        ...

    @property
    def description(self) -> str:
        """A sentence on what is measured."""
        ...

    @property
    def kind(self) -> ResultKind:
        """The kind of its results."""
        ...

    @property
    def needs_speech(self) -> bool:
        """Whether a text-only model cannot do it."""
        ...

    @property
    def learned_from(self) -> tuple[Arrangement, ...]:
        """Arrangements that a model must have been trained on to know the task's prompts."""
        ...

    @property
    def judges(self) -> tuple[str, ...]:
        """The judges that it needs, by their names in `Judges`."""
        ...

    def items(self, evaluation: Evaluation) -> list[Item]:
        """Chooses the items from the records or reads them from the data set; runs no model."""
        ...

    def score(self, evaluation: Evaluation, items: Sequence[Item]) -> Result:
        """Runs the model on the items."""
        ...


class DataTask(Task[Item], Protocol[Item]):
    """An evaluation task on a data set that a user brings."""

    @property
    def place(self) -> Place:
        """Where the data set is."""
        ...

    @property
    def paper(self) -> Any:
        """The paper's figures, or None."""
        ...

    def fingerprint(self, root: Path, split: str) -> str:
        """Names what is asked. UserError if the data set is missing or incomplete."""
        ...


def measure(task: Task[Any], evaluation: Evaluation, asked: bool = False) -> Result:
    """The task's result on its own items; no value where the model lacks the speech that the task needs, or
    was not trained on the task's prompts.

    asked: a user asked for the task by name, so it is measured although the model does not know its prompts.
    """
    why_not = _why_not(task, evaluation, asked)
    if why_not is not None:
        return Result(None, None, 0, task.kind, {"not_measured": why_not})
    return task.score(evaluation, task.items(evaluation))


def _why_not(task: Task[Any], evaluation: Evaluation, asked: bool) -> str | None:
    if task.needs_speech and not evaluation.lm.vocabulary.has_speech:
        return "the model is text-only"
    missing = [one for one in task.learned_from if one not in evaluation.lm.arrangements]
    if not missing or asked:
        return None
    sources = " and no ".join(one.value for one in missing)
    rule = f"no {sources} source is known of the model's training, so it may not know the task's marker"
    return f"{rule}; to measure it all the same, name it in --tasks"
