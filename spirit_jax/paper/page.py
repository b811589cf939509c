"""The page about the comparison: Markdown with tables, the figures next to it."""

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from spirit_jax.core.files import read_jsonl
from spirit_jax.evals.metrics.intervals import Estimate
from spirit_jax.paper.arm_runs import ACCENT, HELD_OUT
from spirit_jax.paper.experiment import Experiment
from spirit_jax.paper.findings import KINDS, find_all
from spirit_jax.paper.published import CHOICES as PUBLISHED
from spirit_jax.paper.results import CROSS_MODAL, DIRECTIONS, RATES, ArmResult

WIDTH = 100
LEAST_POINTS = 3  # of a figure over shares of aligned records
Arms = Mapping[str, ArmResult]


def write_page(
    experiment: Experiment, arms: Arms, corpus: Path, asked: str, folder: str, remarks: str
) -> str:
    """The page. corpus: its manifest. asked: the command. folder: of the figures, relative to the page.
    remarks: of a person who read the figures, as Markdown; "" for none.
    """
    tabled = {name: one for name, one in arms.items() if one.arm.tabled}
    sections = [
        "# The paper in small",
        _introduce(experiment, arms, corpus),
        _describe_runs(arms, asked),
        *_finding_section(tabled, remarks),
        *_choice_section(tabled, folder),
        *_rate_section(tabled),
        *_share_section(arms, folder),
        *_probe_section(tabled, folder),
    ]
    return "\n\n".join(sections) + "\n"


def share_points(arms: Arms) -> list[ArmResult]:
    """The arms of the figure of aligned shares, the smallest first."""
    points = [one for one in arms.values() if one.arm.aligned is not None]
    return sorted(points, key=lambda one: one.arm.aligned or 0)


def _introduce(experiment: Experiment, arms: Arms, corpus: Path) -> str:
    spoken = [row for row in read_jsonl(corpus) if row["audio"]]
    hours = sum(row["duration_s"] for row in spoken if row["split"] in ("train", "speech")) / 3600
    voices = sorted({row["voice"] for row in spoken if row["split"] == "train"})
    accent = sorted({row["voice"] for row in spoken if row["split"] == experiment.accent})
    return _wrap(
        "The paper's ablations, with a small model on a self-made corpus: what each arrangement of the same "
        "recordings and texts teaches. Figures are not comparable with the paper's; differences between "
        f"arms are. {hours:.1f} h of speech by {len(voices)} espeak-ng voices ({', '.join(voices)}); the "
        f"voices of another accent are held out ({', '.join(accent)}). All arms start from the same model, "
        f"which has learned text, and have the same budget: {experiment.run.train.steps:,} steps, "
        f"{experiment.tokens:,} tokens. Intervals are 95 % bootstrap intervals over items and seeds; with "
        "one seed they are over items alone, and with few seeds too narrow."
    )


def _describe_runs(arms: Arms, asked: str) -> str:
    """The command, and for each machine, commit and date what was run there."""
    runs = [run for one in arms.values() for run in one.runs]
    facts = [run.about for run in runs]
    places: dict[tuple, list[dict]] = {}
    for one in facts:
        key = tuple(one[name] for name in ("date", "commit", "processor", "cores", "device"))
        places.setdefault(key, []).append(one)
    rows = [
        (date, commit, f"{processor}, {cores} cores; {device}", len(some), _hours(some), _loads(some))
        for (date, commit, processor, cores, device), some in places.items()
    ]
    seeds = sorted({len(one.runs) for one in arms.values()})
    counted = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    title = ["date", "commit", "machine; JAX's device", "runs", "hours", "load"]
    said = f"{len(arms)} arms, seeds of each: {counted}. Load: the machine's, over five minutes, after a run."
    return f"```\n{asked}\n```\n\n{_wrap(said)}\n\n{_table(title, rows)}"


def _hours(facts: Sequence[dict]) -> str:
    return f"{sum(one['seconds'] for one in facts) / 3600:.2f}"


def _loads(facts: Sequence[dict]) -> str:
    loads = [one["load"] for one in facts]
    return f"{min(loads):.1f} to {max(loads):.1f}"


def _finding_section(arms: Arms, remarks: str) -> Iterator[str]:
    yield "## What the paper leads to expect"
    yield _wrap(
        "Two figures differ where their intervals are apart. The column says in how many comparisons the "
        "expectation holds, and where it does not."
    )
    yield _table(["expected", "found"], find_all(arms))
    if remarks:
        yield f"## Remarks\n\n{remarks.strip()}"


def _choice_section(arms: Arms, folder: str) -> Iterator[str]:
    yield "## Choice of endings (tables 4 and 6)"
    yield _wrap(
        "Share of stories whose true ending is likelier, a token, than a wrong one; chance is 0.5. Hard: the "
        "wrong ending has another object. Easy: it is of a story about something else. T→S: from a written "
        "beginning to spoken endings, and so on."
    )
    columns = [(kind, direction) for kind in KINDS for direction in DIRECTIONS]
    titles = [f"{DIRECTIONS[direction]} {KINDS[kind]}" for kind, direction in columns]
    yield _estimates(arms, titles, lambda one: [one.choice(*column) for column in columns])
    yield f"![Choice of endings by arm]({folder}/choice.svg)"
    yield "The same with an accent that was held out from training:"
    yield _estimates(arms, titles, lambda one: [one.choice(*column, ACCENT) for column in columns])
    yield "For comparison, the paper's accuracies (StoryCloze is hard, Topic-StoryCloze easy):"
    known = {name: one.arm.title for name, one in arms.items() if name in PUBLISHED}
    rows = [(title, *(f"{value:.3f}" for value in PUBLISHED[name])) for name, title in known.items()]
    yield _table(["arm", *titles], rows)


def _rate_section(arms: Arms) -> Iterator[str]:
    yield "## Word errors (table 5)"
    yield _wrap(
        "Errors a word. Transcribing: greedy transcripts of recordings. Reading aloud: of what the model "
        "speaks, as it transcribes its own units. Arms without pairs of speech and text have never seen the "
        "prompts of these tasks; their models are asked all the same."
    )
    titles = [*RATES.values(), "transcribing the held-out accent"]
    asked = [(task, HELD_OUT) for task in RATES] + [("wer_s2t", ACCENT)]
    yield _estimates(arms, titles, lambda one: [one.rate(*task) for task in asked])


def _share_section(arms: Arms, folder: str) -> Iterator[str]:
    points = share_points(arms)
    if len(points) < LEAST_POINTS:
        return
    yield "## How much aligned data (figure 3)"
    yield _wrap(
        "Interleaving with a part of the aligned records. Their share of the tokens is the same, "
        "so fewer records are repeated more often. With none, speech and text are apart."
    )
    yield f"![Choice by share of aligned records]({folder}/aligned.svg)"
    columns = [(kind, direction) for kind in KINDS for direction in CROSS_MODAL]
    titles = [f"{DIRECTIONS[direction]} {KINDS[kind]}" for kind, direction in columns]
    rows = [(f"{one.arm.aligned:.0%}", *(_cell(one.choice(*column)) for column in columns)) for one in points]
    yield _table(["aligned records", *titles], rows)


def _probe_section(arms: Arms, folder: str) -> Iterator[str]:
    yield "## Features of speech and text, layer by layer"
    yield _wrap(
        "For each spoken word the largest cosine between the features of its units and of its text, and how "
        "much it exceeds the cosine with another word: in the embedding, after the layer where that is most, "
        "and the rise from the one to the other."
    )
    yield f"![Cosines by layer and arm]({folder}/alignment.svg)"
    titles = ["in the embedding", "after the best layer", "rise"]
    yield _estimates(arms, titles, lambda one: [one.probe.embedded, one.probe.best, one.probe.rise])


def _estimates(arms: Arms, titles: Sequence[str], of: Callable[[ArmResult], Sequence[Estimate]]) -> str:
    """A table with a row for each arm."""
    return _table(["arm", *titles], [(one.arm.title, *map(_cell, of(one))) for one in arms.values()])


def _cell(estimate: Estimate) -> str:
    if estimate.value is None or estimate.interval is None:
        return ""
    low, high = estimate.interval
    return f"{estimate.value:.3f} [{low:.3f}, {high:.3f}]"


def _table(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _wrap(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_on_hyphens=False)
