"""The page of a curation: a histogram of each score with its limits, and the rows nearest to them, to be
heard.
"""

from collections.abc import Mapping
from pathlib import Path

from data_prep.curation.config import CurationConfig, Limits
from data_prep.curation.judge import Verdict
from data_prep.curation.scores import SCORES, Entry, Score
from data_prep.curation.summary import Tally
from data_prep.jobs.row_sound import load_row
from spirit_jax.pages.histogram import Histogram, draw_histogram
from spirit_jax.pages.rendering import render
from spirit_jax.pages.sound import player
from spirit_jax.speech import audio
from spirit_jax.tokens.streams import SAMPLE_RATE

TEMPLATE = Path(__file__).with_name("curation.html")
HEARD_SECONDS = 15  # of an utterance


def make_page(
    title: str, summary: dict, config: CurationConfig, histograms: Mapping[str, Histogram], tally: Tally
) -> str:
    """The page as HTML, with the sound of the rows that `tally` kept."""
    drawn = [name for name in SCORES if histograms[name].count]
    figures = [
        {
            "title": SCORES[name].title,
            "note": _note(getattr(config, name), SCORES[name], summary["all_reasons"], name),
            "figure_svg": _draw(histograms[name], SCORES[name].title, getattr(config, name)),
        }
        for name in drawn
    ]
    total = summary["n_kept"] + summary["n_quarantined"]
    return render(
        TEMPLATE,
        {
            "title": title,
            "summary": summary,
            "share": summary["n_kept"] / max(total, 1),
            "figures": figures,
            "missing": [SCORES[name].title for name in SCORES if name not in drawn],
            "worst_kept": [_example(*row) for row in tally.worst_kept.rows()],
            "best_rejected": [_example(*row) for row in tally.best_rejected.rows()],
            "heard_seconds": HEARD_SECONDS,
        },
    )


def _draw(histogram: Histogram, title: str, limits: Limits) -> str:
    return draw_histogram(histogram, title, limits.least, limits.most)


def _note(limits: Limits, score: Score, reasons: Mapping[str, int], name: str) -> str:
    """The limits in words, with how many utterances are beyond each."""
    sides = (("least", limits.least, f"low_{name}"), ("most", limits.most, f"high_{name}"))
    said = [
        f"{side} {limit:g}{score.unit}: {reasons.get(reason, 0):,} beyond"
        for side, limit, reason in sides
        if limit is not None
    ]
    return "; ".join(said) or "no limit"


def _example(entry: Entry, verdict: Verdict) -> dict:
    row, measured = entry.row, entry.measured
    try:
        sound = player(load_row(row)[: HEARD_SECONDS * SAMPLE_RATE])
    except audio.BadAudio:  # changed since it was measured
        sound = None
    scores = measured.scores if measured else {}
    return {
        "id": row["id"],
        "text": row["text"] or " ".join(word for word, _, _ in row["words"] or ()),
        "audio": sound,
        "faults": [fault.detail for fault in verdict.faults],
        "scores": [
            (name.replace("_", " "), f"{value:.3g}{SCORES[name].unit}")
            for name, value in scores.items()
            if value is not None
        ],
    }
