"""The work of `data_prep align`: a corpus in parts, each written atomically and made again only if its inputs
have changed.
"""

import collections
import dataclasses
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from data_prep.alignment.aligners import Aligner, Outcome
from data_prep.alignment.casing import Casing, recase
from data_prep.alignment.times import Aligned, NotAligned
from spirit_jax.core.files import drop_partials, fingerprint, read_json, write_json, write_jsonl
from spirit_jax.core.progress import Progress
from spirit_jax.datasets.corpus import Corpus, count_reasons, put_aside
from spirit_jax.datasets.manifest import text_of

MANIFEST, QUARANTINE, SUMMARY = "manifest.jsonl", "quarantine.jsonl", "summary.json"
PARTS = "parts"


@dataclasses.dataclass(frozen=True)
class Work:
    """What is done to each row. replace: rows that have word times are aligned too."""

    aligner: Aligner
    casing: Casing = Casing.AS_IS
    replace: bool = False

    @property
    def identity(self) -> bytes:
        """Differs where results may differ."""
        return f"{self.aligner.identity} {self.casing.value} {self.replace}".encode()

    def concerns(self, row: dict) -> bool:
        """Whether a row is aligned: it has sound and a text, and no word times yet."""
        return bool(row["audio"] and (self.replace if row["words"] else row["text"]))

    def results(self, rows: Sequence[dict]) -> Iterator[tuple[dict, Outcome | None]]:
        """Each row with its outcome, None if it does not concern."""
        concerned = [{**row, "text": text_of(row)} for row in rows if self.concerns(row)]
        outcomes = self.aligner.align(concerned)
        for row in rows:
            yield row, next(outcomes) if self.concerns(row) else None


def align_corpus(corpus: Corpus, work: Work, out: Path, part_size: int) -> dict:
    """Writes the parts, the manifest, the quarantine and the summary, which it returns."""
    rows = corpus.rows
    slices = [rows[i : i + part_size] for i in range(0, len(rows), part_size)]
    parts = [Part(out / PARTS, number, len(slices)) for number in range(len(slices))]
    (out / SUMMARY).unlink(missing_ok=True)
    ledgers = []
    with Progress("align", len(rows), "utt") as progress:
        for part, held in zip(parts, slices):
            inputs = fingerprint(work.identity, *map(_identity, held))
            ledger = part.finished(inputs)
            if ledger is None:
                ledger = part.write(held, work, inputs, progress)
            else:
                progress.advance(len(held), "(unchanged)")
            ledgers.append(ledger)
    _drop_stale(out / PARTS, parts)
    write_jsonl(out / MANIFEST, (row for part in parts for row in part.rows()))
    quarantine = [*corpus.set_aside, *(bad for ledger in ledgers for bad in ledger["quarantine"])]
    write_jsonl(out / QUARANTINE, quarantine)
    summary = _summarize(corpus, quarantine, ledgers, work)
    write_json(out / SUMMARY, summary)
    return summary


@dataclasses.dataclass(frozen=True)
class Part:
    """A file of finished rows and its ledger: its inputs, its counts and its part of the quarantine."""

    folder: Path
    number: int
    total: int

    @property
    def path(self) -> Path:
        """The finished rows."""
        return self.folder / f"part-{self.number:05d}-of-{self.total:05d}.jsonl"

    @property
    def ledger_path(self) -> Path:
        """Written after `path`."""
        return self.path.with_suffix(".json")

    def rows(self) -> Iterator[dict]:
        """The finished rows."""
        with open(self.path, encoding="utf-8") as file:
            yield from map(json.loads, file)

    def finished(self, inputs: str) -> dict | None:
        """The ledger, if the part was made of these inputs."""
        if not self.path.is_file() or not self.ledger_path.is_file():
            return None
        ledger = read_json(self.ledger_path)
        return ledger if ledger["inputs"] == inputs else None

    def write(self, rows: Sequence[dict], work: Work, inputs: str, progress: Progress) -> dict:
        """Aligns `rows` into the file, then writes the ledger."""
        self.ledger_path.unlink(missing_ok=True)
        counts, quarantine = collections.Counter(), []
        write_jsonl(self.path, _finish(work.results(rows), work.casing, counts, quarantine, progress))
        ledger = {"inputs": inputs, "counts": dict(counts), "quarantine": quarantine}
        write_json(self.ledger_path, ledger)
        return ledger


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
    return "had_word_times" if row["words"] else "speech_only"


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


def _identity(row: dict) -> bytes:
    """A row with its recording's size and time of change, for the fingerprint of a part's inputs."""
    found = row["audio"] and os.path.isfile(row["audio"])
    stat = os.stat(row["audio"]) if found else None
    return json.dumps([row, [stat.st_size, stat.st_mtime_ns] if stat else None], sort_keys=True).encode()


def _drop_stale(folder: Path, parts: Sequence[Part]) -> None:
    """Removes parts of another part size, and temporary files of a killed call."""
    drop_partials(folder, "part-*")
    kept = {path for part in parts for path in (part.path, part.ledger_path)}
    for path in folder.glob("part-*-of-*.json*"):
        if path not in kept:
            path.unlink()


def _summarize(corpus: Corpus, quarantine: Sequence[dict], ledgers: Sequence[dict], work: Work) -> dict:
    counts = sum((collections.Counter(ledger["counts"]) for ledger in ledgers), collections.Counter())
    kinds = ("aligned", "had_word_times", "speech_only", "text_only")
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
