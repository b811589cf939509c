"""The run in figures: `report.json`, and rows for the page's tables."""

import dataclasses
from collections.abc import Mapping, Sequence

from spirit_jax.evals.registry import DEFAULT_TASKS, TASKS, expand
from spirit_jax.evals.task import Result, ResultKind
from spirit_jax.pages.rendering import compact

Results = Mapping[str, Result]  # by task

SUFFIXES = {ResultKind.ACCURACY: "_accuracy"}  # after a task's name in report.json
LOSS = "loss"  # the task whose details are loss_by_modality in report.json
# the page's headline figures: keys of report.json
HEADLINES = {
    "choice_s2t_accuracy": "Speech → text, right choice",
    "choice_t2s_accuracy": "Text → speech, right choice",
    "wer_s2t": "Word error rate, transcribing",
    "wer_t2s": "Word error rate, reading aloud",
    "ears_reading": "The same, heard by a recogniser",
}


@dataclasses.dataclass(frozen=True)
class ResultRow:
    """A task before and after training; one of the two may be missing."""

    name: str
    before: Result | None
    after: Result | None

    @property
    def latest(self) -> Result | None:
        """After training, if it was evaluated then."""
        return self.after or self.before


def training_numbers(rows: Sequence[dict]) -> dict:
    """Steps, tokens, tokens a second (while training) and total seconds, from the rows of metrics.jsonl."""
    spent = {
        name: sum(row.get(f"time/{name}_s", 0.0) for row in rows)
        for name in ("data", "step", "checkpoint", "evaluate")
    }
    tokens = sum(row.get("tokens", 0.0) for row in rows)
    return {
        "steps": max((row["step"] for row in rows), default=0),
        "tokens": round(tokens),
        "tokens_per_second": round(tokens / max(spent["data"] + spent["step"], 1e-9), 1),
        "wall_seconds": round(sum(spent.values()), 1),
    }


def report_numbers(rows: Sequence[dict], before: Results, after: Results) -> dict:
    """What `report.json` holds.

    For each task of a default evaluation and each other that was evaluated, without `LOSS`: its value,
    `_interval` and `_before`, None for what was not measured. n_pairs: the fewer pairs of the choices
    between speech and text. loss_by_modality: see `losses`.
    """
    numbers: dict = {}
    for name, kind in _kinds(before, after).items():
        if name == LOSS:
            continue
        key = name + SUFFIXES.get(kind, "")
        result, earlier = after.get(name), before.get(name)
        numbers[key] = result and result.value
        numbers[f"{key}_interval"] = list(result.interval) if result and result.interval else None
        numbers[f"{key}_before"] = earlier and earlier.value
    choices = [after[name].details for name in ("choice_s2t", "choice_t2s") if name in after]
    pairs = [details["pairs"] for details in choices if "pairs" in details]
    return {
        **numbers,
        "n_pairs": min(pairs, default=0),
        "loss_by_modality": losses(after),
        "loss_by_modality_before": losses(before),
        **training_numbers(rows),
    }


def losses(results: Results) -> dict[str, float]:
    """Nats a token of held-out records as text and as speech, and of both classes of token when interleaved.

    Keys: text, speech, interleaved_text, interleaved_speech; without those that were not measured.
    """
    parts = results[LOSS].losses if LOSS in results else {}
    sources = {
        "text": ("text", "text"),
        "speech": ("speech", "speech"),
        "interleaved_text": ("interleaved", "text"),
        "interleaved_speech": ("interleaved", "speech"),
    }
    return {
        name: parts[arrangement][token_class]
        for name, (arrangement, token_class) in sources.items()
        if token_class in parts.get(arrangement, {})
    }


def result_tables(before: Results, after: Results) -> list[tuple[ResultKind, list[ResultRow]]]:
    """The page's tables, one for each kind of result that was measured. For losses see `loss_rows`."""
    kinds = {name: kind for name, kind in _kinds(before, after).items() if name in before or name in after}
    return [
        (kind, [_row(name, before, after) for name in kinds if kinds[name] is kind])
        for kind in ResultKind
        if kind is not ResultKind.LOSS and kind in kinds.values()
    ]


def loss_rows(before: Results, after: Results) -> list[dict]:
    """Losses before and after training, for a table of the page: by modality, then of other tasks."""
    old, new = _losses_by_title(before), _losses_by_title(after)
    return [
        {"name": title, "before": old.get(title), "after": new.get(title)}
        for title in dict.fromkeys([*new, *old])
    ]


def tiles(numbers: dict) -> list[dict]:
    """The page's headline figures; what was not evaluated has no tile."""
    shown = []
    for key, name in HEADLINES.items():
        value, earlier = numbers.get(key), numbers.get(f"{key}_before")
        if value is not None:
            note = (
                f"before training {earlier:.3f}"
                if earlier is not None
                else "95 % within {:.3f}–{:.3f}".format(*numbers[f"{key}_interval"])
            )
            shown.append({"name": name, "value": f"{value:.3f}", "note": note})
    return shown


def facts(numbers: dict, parameters: int) -> list[tuple[str, str]]:
    """The run in a line: names and values."""
    minutes, seconds = divmod(round(numbers["wall_seconds"]), 60)
    return [
        ("parameters", compact(parameters)),
        ("steps", f"{numbers['steps']:,}"),
        ("tokens", compact(numbers["tokens"])),
        ("tokens a second", compact(numbers["tokens_per_second"])),
        ("training time", f"{minutes} min {seconds:02d} s"),
        ("choice pairs", f"{numbers['n_pairs']:,}"),
    ]


def transcripts(results: Results) -> list[tuple[str, str, list[dict]]]:
    """Title, description and examples of each task that keeps transcripts."""
    return [
        (task.title, task.description, results[name].details["examples"])
        for name, task in TASKS.items()
        if name in results and "examples" in results[name].details
    ]


def _row(name: str, before: Results, after: Results) -> ResultRow:
    return ResultRow(_title(name), before.get(name), after.get(name))


def _title(name: str) -> str:
    return TASKS[name].title if name in TASKS else name


def _losses_by_title(results: Results) -> dict[str, float | None]:
    by_modality = {name.replace("_", " ").capitalize(): nll for name, nll in losses(results).items()}
    others = {
        _title(name): result.value
        for name, result in results.items()
        if result.kind is ResultKind.LOSS and name != LOSS
    }
    return by_modality | others


def _kinds(before: Results, after: Results) -> dict[str, ResultKind]:
    """The kind of every task by name: those of a default evaluation, then others that the results hold."""
    known = {name: TASKS[name].kind for name in expand(list(DEFAULT_TASKS))}
    return known | {name: result.kind for name, result in {**before, **after}.items()}
