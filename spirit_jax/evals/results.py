"""Results as the `tasks` of eval.json, as printed lines, and scores of trials as files."""

from pathlib import Path

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json, write_jsonl, write_text
from spirit_jax.evals.registry import TASKS
from spirit_jax.evals.task import Result, ResultKind

FIELDS = ("kind", "value", "low", "high", "n")  # all else in a result's JSON are its details


def to_json(result: Result) -> dict:
    """Plain JSON values: FIELDS, then the details at the same level."""
    low, high = result.interval or (None, None)
    return dict(zip(FIELDS, (result.kind.value, result.value, low, high, result.n))) | dict(result.details)


def from_json(name: str, values: dict) -> Result:
    """A task's result from its JSON.

    A loss that was written before results had a kind has no value and an n of 0.
    """
    value, low, high, n = (values.get(field) for field in FIELDS[1:])
    interval = None if low is None or high is None else (low, high)
    details = {key: detail for key, detail in values.items() if key not in FIELDS}
    return Result(value, interval, n or 0, _kind(name, values), details)


def read_results(path: Path) -> dict[str, Result]:
    """Results by task of an eval.json; a UserError if the file is none."""
    tasks = read_json(path).get("tasks")
    if not isinstance(tasks, dict):
        raise UserError("evaluation", path, "has no tasks", "give what eval wrote")
    return {name: from_json(name, values) for name, values in tasks.items()}


def write_scores(folder: Path, name: str, result: Result) -> list[str]:
    """Writes the scores of a task's trials to `NAME.jsonl`, ZeroSpeech's submission (`NAME SCORE` lines)
    below `submission/`, and STSP's predictions below `predictions/`. Returns warnings.
    """
    if result.rows:
        write_jsonl(folder / f"{name}.jsonl", result.rows)
    for run, lines in enumerate(result.predictions):
        write_jsonl(folder / "predictions" / f"{name}_{run}.jsonl", lines)
    warnings = []
    for path, scores in result.submissions.items():
        known = {
            sound: score for sound, score in scores.items() if score is not None and len(sound.split()) == 1
        }
        lines = "".join(f"{sound} {score:.9g}\n" for sound, score in known.items())
        write_text(folder / "submission" / path, lines)
        if without := len(scores) - len(known):
            reasons = f"{without} of {len(scores)} recordings have no score or a name with a space"
            reasons += ", so the submission is incomplete"
            warnings.append(f"{name}: {reasons}; {folder / f'{name}.jsonl'} says why")
    return warnings


def summarize(result: Result) -> str:
    """A result in a line."""
    if result.losses:
        return _summarize_losses(result.losses)
    if "not_measured" in result.details:
        return result.extent
    if result.value is None or result.interval is None:
        return f"nothing to measure, of {result.extent}"
    low, high = result.interval
    characters = result.details.get("cer")
    more = "" if characters is None else f"; characters {characters:.3f}"
    return f"{result.value:.3f} [{low:.3f}, {high:.3f}] of {result.extent}{more}"


def _summarize_losses(losses: dict[str, dict[str, float]]) -> str:
    lines = {
        name: " ".join(f"{token_class} {nll:.3f}" for token_class, nll in by_class.items())
        for name, by_class in losses.items()
    }
    return ", ".join(f"{name} {line}" for name, line in lines.items() if line) or "nothing to measure"


def _kind(name: str, values: dict) -> ResultKind:
    """A file written before results had a kind has its task's."""
    if "kind" not in values and name in TASKS:
        return TASKS[name].kind
    kinds = {kind.value: kind for kind in ResultKind}
    if values.get("kind") not in kinds:
        raise UserError(
            f"evaluation task {name} kind",
            values.get("kind"),
            f"must be one of {', '.join(kinds)}",
            "evaluate again with this version",
        )
    return kinds[values["kind"]]
