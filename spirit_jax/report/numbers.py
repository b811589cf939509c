"""The run in figures: `report.json`, and rows for the page's tables."""

from collections.abc import Sequence

from spirit_jax.report.page import compact

MEANINGS = {
    "choice_s2t": "Speech → text",
    "choice_t2s": "Text → speech",
    "choice_s2s": "Speech → speech",
    "choice_t2t": "Text → text",
    "wer_s2t": "Transcribing speech",
    "wer_t2s": "Reading aloud, heard as tokens",
    "wer_t2s_audio": "Reading aloud, heard as sound",
}


def training_numbers(rows: Sequence[dict]) -> dict:
    """Steps, tokens, tokens a second (while training) and seconds in all, from the rows of metrics.jsonl."""
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


def report_numbers(rows: Sequence[dict], before: dict, after: dict) -> dict:
    """What `report.json` holds; what was not evaluated is None. before, after: the `tasks` of two
    evaluations.

    loss_by_modality: nll a token of held-out records as text, as speech, and of either kind of token when
    interleaved.
    """
    numbers: dict = {}
    for name in MEANINGS:
        result, earlier = after.get(name), before.get(name)
        key = f"{name}_accuracy" if name.startswith("choice") else name
        numbers[key] = result and result["value"]
        numbers[f"{key}_interval"] = (
            [result["low"], result["high"]] if result and result["value"] is not None else None
        )
        numbers[f"{key}_before"] = earlier and earlier["value"]
    pairs = [after[name]["pairs"] for name in ("choice_s2t", "choice_t2s") if name in after]
    numbers["n_pairs"] = min(pairs, default=0)
    return {
        **numbers,
        "loss_by_modality": losses(after),
        "loss_by_modality_before": losses(before),
        **training_numbers(rows),
    }


def losses(tasks: dict) -> dict[str, float]:
    """The loss task's result, flat: text, speech, interleaved_text, interleaved_speech."""
    parts = tasks.get("loss", {})
    places = {
        "text": ("text", "text"),
        "speech": ("speech", "speech"),
        **{f"interleaved_{kind}": ("interleaved", kind) for kind in ("text", "speech")},
    }
    return {
        name: parts[part]["nll"][kind]
        for name, (part, kind) in places.items()
        if kind in parts.get(part, {}).get("nll", {})
    }


def result_rows(before: dict, after: dict, prefix: str) -> list[dict]:
    """Results of the tasks whose names begin with `prefix`, earlier beside later, for the page."""
    names = [name for name in MEANINGS if name.startswith(prefix) and (name in after or name in before)]
    return [{"name": MEANINGS[name], "before": before.get(name), "after": after.get(name)} for name in names]


def loss_rows(before: dict, after: dict) -> list[dict]:
    """Losses earlier and later, for the page."""
    old, new = losses(before), losses(after)
    return [
        {"name": name.replace("_", " ").capitalize(), "before": old.get(name), "after": new.get(name)}
        for name in dict.fromkeys([*new, *old])
    ]


def tiles(numbers: dict) -> list[dict]:
    """The page's headline figures; what was not evaluated has no tile."""
    wanted = [
        ("choice_s2t_accuracy", "Speech → text, right choice"),
        ("choice_t2s_accuracy", "Text → speech, right choice"),
        ("wer_s2t", "Word error rate, transcribing"),
        ("wer_t2s", "Word error rate, reading aloud"),
    ]
    shown = []
    for key, name in wanted:
        value, earlier = numbers[key], numbers[f"{key}_before"]
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


def transcripts(tasks: dict) -> list[tuple[str, str, list[dict]]]:
    """Heading, explanation and examples for each kind of transcript."""
    return [
        (
            "Transcripts",
            "Greedy transcripts of held-out speech.",
            tasks.get("wer_s2t", {}).get("examples", []),
        ),
        (
            "Round trip",
            "Held-out texts read aloud by the model and transcribed by it again.",
            tasks.get("wer_t2s", {}).get("examples", []),
        ),
    ]
