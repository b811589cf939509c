"""The page of `data_prep look`."""

from collections.abc import Sequence
from pathlib import Path

from data_prep.look.examples import Example
from data_prep.look.items import Kind, Subject
from data_prep.look.statistics import SplitCounts, Statistics
from spirit_jax.pages.histogram import draw_histogram
from spirit_jax.pages.rendering import render

TEMPLATE = Path(__file__).with_name("look.html")
VOICES = 12  # that are listed


def make_page(data: Path, subject: Subject, statistics: Statistics, examples: Sequence[Example]) -> str:
    """The page as HTML."""
    splits = statistics.splits
    total = sum((_hours(counts) for counts in splits.values()), 0.0)
    longest = max(statistics.voices.values(), default=0.0)
    return render(
        TEMPLATE,
        {
            "title": data.resolve().name,
            "kind": subject.kind.value,
            "path": str(data),
            "tiles": _tiles(splits, total, statistics),
            "columns": ["text tokens", *(stream.name for stream in subject.streams)]
            if subject.streams
            else [],
            "splits": [_row(name, counts, subject) for name, counts in sorted(splits.items())],
            "finished": subject.kind is Kind.DOCUMENTS,
            "missing": _missing(subject, splits, examples),
            "reasons": dict(statistics.reasons.most_common()),
            "sources": dict(statistics.sources.most_common()),
            "voices": [
                (voice or "unknown", seconds / 3600, seconds / longest if longest else 0)
                for voice, seconds in statistics.voices.most_common(VOICES)
            ],
            "more_voices": max(0, len(statistics.voices) - VOICES),
            "durations_svg": draw_histogram(statistics.durations, "Durations")
            if statistics.durations.count
            else "",
            "median_s": statistics.durations.quantile(0.5),
            "streams": [stream.name for stream in subject.streams],
            "examples": examples,
        },
    )


def _hours(counts: SplitCounts) -> float:
    return counts.seconds / 3600


def _tiles(splits: dict[str, SplitCounts], hours: float, statistics: Statistics) -> list[dict]:
    def total(name: str) -> int:
        return sum(getattr(counts, name) for counts in splits.values())

    utterances, unknown = total("utterances"), total("unknown")
    spoken = sum(counts.tokens.total() for counts in splits.values())
    tokens = spoken + total("text_tokens") + total("document_tokens")
    tiles = [
        ("utterances", utterances, f"{total('aligned'):,} with word times"),
        ("hours", hours, f"without {unknown:,} of unknown length" if unknown else "of sound"),
        ("voices", len(set(statistics.voices) - {""}), "that are named"),
        ("texts", total("texts"), "not spoken"),
        ("documents", total("documents"), "finished"),
        ("tokens", tokens, "of text and speech"),
    ]
    return [{"name": name, "value": value, "note": note} for name, value, note in tiles if value]


def _row(name: str, counts: SplitCounts, subject: Subject) -> dict:
    tokens = [counts.text_tokens, *(counts.tokens[stream.name] for stream in subject.streams)]
    tokens = tokens if subject.streams else []
    return {"name": name, "counts": counts, "hours": _hours(counts), "tokens": tokens}


def _missing(subject: Subject, splits: dict[str, SplitCounts], examples: Sequence[Example]) -> list[str]:
    """What cannot be shown, and what would show it."""
    spoken = sum(counts.utterances for counts in splits.values())
    aligned = sum(counts.aligned for counts in splits.values())
    missing = []
    if subject.kind is Kind.CORPUS:
        missing.append("units and other codes, and sequences of tokens: make units writes them")
    elif subject.vocabulary is None:
        missing.append("sequences of tokens: give --tokenizer")
    elif subject.kind is Kind.DOCUMENTS:
        missing.append("utterances: the shards hold finished documents")
        if subject.tokenizer is None:
            missing.append("the words of documents: give --tokenizer")
    if subject.kind is Kind.RECORDS and spoken and all(example.audio is None for example in examples):
        missing.append("sound: give the manifest of the recordings with --audio, or a codec with --codec")
    if aligned < spoken:
        missing.append(f"word times of {spoken - aligned:,} of {spoken:,} utterances: make align gives them")
    return missing
