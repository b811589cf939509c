"""The work of `data_prep align`: rows in files (`data_prep.jobs.stage_files`), then the manifest."""

import collections
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from data_prep.alignment.aligners import Aligner, Outcome
from data_prep.alignment.casing import Casing, recase
from data_prep.alignment.times import Aligned, NotAligned
from data_prep.jobs.stage_files import StageFiles
from spirit_jax.core.files import drop_partials, write_json, write_jsonl
from spirit_jax.core.progress import Progress
from spirit_jax.datasets.corpus import Corpus, count_reasons, put_aside
from spirit_jax.datasets.manifest import text_of

MANIFEST, QUARANTINE, SUMMARY = "manifest.jsonl", "quarantine.jsonl", "summary.json"
PARTS = "parts"


@dataclasses.dataclass(frozen=True)
class Work:
    """What is done to each row. replace: rows that have word times are aligned too. splits: that are aligned,
    None for all.
    """

    aligner: Aligner
    casing: Casing = Casing.AS_IS
    replace: bool = False
    splits: Sequence[str] | None = None

    @property
    def identity(self) -> bytes:
        """Differs where results may differ."""
        splits = "" if self.splits is None else f" {sorted(set(self.splits))}"
        return f"{self.aligner.identity} {self.casing.value} {self.replace}{splits}".encode()

    def concerns(self, row: dict) -> bool:
        """Whether a row is aligned: of one of the splits, with sound and a text, and no word times yet."""
        wanted = self.splits is None or row["split"] in self.splits
        return bool(wanted and row["audio"] and (self.replace if row["words"] else row["text"]))

    def results(self, rows: Sequence[dict]) -> Iterator[tuple[dict, Outcome | None]]:
        """Each row with its outcome, None if it does not concern."""
        concerned = [{**row, "text": text_of(row), "words": None} for row in rows if self.concerns(row)]
        outcomes = self.aligner.align(concerned)
        for row in rows:
            yield row, next(outcomes) if self.concerns(row) else None


def align_corpus(corpus: Corpus, work: Work, out: Path, part_size: int) -> dict:
    """Writes the parts, the manifest, the quarantine and the summary, which it returns."""

    def make(rows: Sequence[dict], ledger: dict, progress: Progress) -> Iterator[dict]:
        ledger["counts"] = collections.Counter()
        return _finish(work.results(rows), work.casing, ledger["counts"], ledger["quarantine"], progress)

    drop_partials(out, "*")
    (out / SUMMARY).unlink(missing_ok=True)
    parts = StageFiles(out / PARTS, out / PARTS, "part")
    files, ledgers = parts.make("align", corpus.rows, part_size, work.identity, make)
    write_jsonl(out / MANIFEST, (row for file in files for row in file.rows()))
    quarantine = [*corpus.set_aside, *(bad for ledger in ledgers for bad in ledger["quarantine"])]
    write_jsonl(out / QUARANTINE, quarantine)
    summary = _summarize(corpus, quarantine, ledgers, work)
    write_json(out / SUMMARY, summary)
    return summary


def _finish(
    results: Iterable[tuple[dict, Outcome | None]],
    casing: Casing,
    counts: collections.Counter,
    quarantine: list[dict],
    progress: Progress,
) -> Iterator[dict]:
    """Finished rows in order; counts them, and adds rows without word times to the quarantine."""
    for row, outcome in results:
        progress.advance()
        if isinstance(outcome, NotAligned):
            bad = put_aside(row["id"], row["audio"], outcome.reason, outcome.detail)
            quarantine.append({**bad, "text": row["text"]})
            continue
        counts[_kind(row, outcome)] += 1
        if outcome is not None:
            counts["words"] += len(text_of(row).split())
            counts["words_joined"] += outcome.joined
        yield _recase({**row, **_times(outcome)}, casing)


def _kind(row: dict, outcome: Outcome | None) -> str:
    if outcome is not None:
        return "aligned"
    if row["audio"] is None:
        return "text_only"
    if row["words"]:
        return "had_word_times"
    return "of_other_splits" if row["text"] else "speech_only"


def _times(outcome: Aligned | None) -> dict:
    if outcome is None:
        return {}
    return {"words": outcome.words, "word_scores": outcome.scores, "alignment_score": outcome.score}


def _recase(row: dict, casing: Casing) -> dict:
    """The row with its text and words in that casing."""
    if casing is Casing.AS_IS or not (row["text"] or row["words"]):
        return row
    entries = [entry[0].split() for entry in row["words"] or [[row["text"]]]]
    written = iter(recase(list(itertools.chain(*entries)), casing))
    recased = [" ".join(itertools.islice(written, len(entry))) for entry in entries]
    words = [[word, *entry[1:]] for word, entry in zip(recased, row["words"])] if row["words"] else None
    return {**row, "text": " ".join(recased), "words": words}


def _summarize(corpus: Corpus, quarantine: Sequence[dict], ledgers: Sequence[dict], work: Work) -> dict:
    counts = sum((collections.Counter(ledger["counts"]) for ledger in ledgers), collections.Counter())
    kinds = ("aligned", "had_word_times", "speech_only", "text_only", "of_other_splits")
    return {
        "aligner": work.aligner.name,
        "casing": work.casing.value,
        **{f"n_{kind}": counts[kind] for kind in kinds},
        "n_quarantined": len(quarantine),
        "reasons": count_reasons(quarantine),
        "unread": corpus.unread,
        "words": counts["words"],
        "words_joined": counts["words_joined"],
    }
