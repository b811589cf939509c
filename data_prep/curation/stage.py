"""The work of `data_prep curate`. Rows are measured in parts, which a later call uses again; then all of
them are judged by the histograms of the whole corpus. Rows are read as they are needed.
"""

import array
import contextlib
import dataclasses
import functools
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.curation.config import CurationConfig
from data_prep.curation.judge import Judge, Verdict
from data_prep.curation.scores import SCORES, Entry, Measured, Task, Unusable, key_of, measure
from data_prep.curation.unit_rates import UnitRates
from data_prep.jobs.processes import Processes
from data_prep.jobs.stage_files import StageFile, drop_others, identity_of
from spirit_jax.core.files import drop_partials, fingerprint, write_atomically
from spirit_jax.core.progress import Progress
from spirit_jax.datasets.corpus import put_aside
from spirit_jax.pages.histogram import Histogram

VERSION = "1"  # of the scores; another one makes the parts of an earlier version again
MANIFEST, QUARANTINE, PARTS = "manifest.jsonl", "quarantine.jsonl", "parts"

GivenRows = Iterable[tuple[Any, None] | tuple[None, dict]]  # as of `datasets.manifest.stream_corpus`


@dataclasses.dataclass(frozen=True)
class MeasuredCorpus:
    """All rows with their scores. set_aside: lines of the quarantine for rows that break a rule."""

    parts: Sequence[StageFile]
    set_aside: Sequence[dict]
    histograms: dict[str, Histogram]
    rows: int

    def entries(self) -> Iterator[Entry]:
        """The rows in order."""
        for part in self.parts:
            for stored in part.rows():
                measured = stored["measured"] and Measured(**stored["measured"])
                unusable = stored["unusable"] and Unusable(*stored["unusable"])
                yield Entry(stored["row"], measured, unusable)

    def repeated_keys(self) -> set[str]:
        """Keys of ids, texts and sounds that more than one row has. Takes 24 bytes a row."""
        keys = array.array("Q")
        for row, measured, _ in self.entries():
            keys.append(int(key_of(row["id"]), 16))
            if measured:
                keys.extend(int(key, 16) for key in (measured.text_key, measured.sound_key) if key)
        ordered = np.sort(np.frombuffer(keys, np.uint64))
        twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        return {f"{key:016x}" for key in twice.tolist()}


def measure_corpus(
    rows: GivenRows, rates: UnitRates | None, out: Path, processes: int, part_size: int
) -> MeasuredCorpus:
    """Measures the rows in parts below `out`."""
    pool, left = Processes(processes), iter(rows)
    folder, parts, ledgers = out / PARTS, [], []
    drop_partials(folder, "*")
    with contextlib.closing(pool), Progress("curate", None, "utt") as progress:
        while held := list(itertools.islice(left, part_size)):
            tasks = [Task(row, rates.of(row["id"]) if rates else None) for row, _ in held if row]
            set_aside = [bad for _, bad in held if bad]
            path = folder / f"part-{len(parts):05d}.jsonl"
            part = StageFile(path, path.with_suffix(".json"))
            identities = (identity_of(task.row) + str(task.unit_rate).encode() for task in tasks)
            inputs = fingerprint(VERSION.encode(), json.dumps(set_aside).encode(), *identities)
            ledger = part.finished(inputs)
            if ledger is None:
                made = functools.partial(_measure_rows, tasks, set_aside, pool, progress)
                ledger = part.write(inputs, made)
            else:
                progress.advance(len(tasks), "(unchanged)")
            parts.append(part)
            ledgers.append(ledger)
    drop_others(parts, folder, folder, "part-*")
    set_aside = [bad for ledger in ledgers for bad in ledger["quarantine"]]
    return MeasuredCorpus(parts, set_aside, _add_up(ledgers), sum(ledger["rows"] for ledger in ledgers))


def _measure_rows(
    tasks: Sequence[Task], set_aside: list[dict], pool: Processes, progress: Progress, ledger: dict
) -> Iterator[dict]:
    """The rows with their scores, in order; their histograms are added to the ledger."""
    values: dict[str, list[float]] = {name: [] for name in SCORES}
    found = pool.map(measure, (task for task in tasks if task.row["audio"]))
    for task in tasks:
        result = next(found) if task.row["audio"] else None
        measured = result if isinstance(result, Measured) else None
        for name, value in measured.scores.items() if measured else ():
            if value is not None:
                values[name].append(value)
        progress.advance()
        yield {
            "row": task.row,
            "measured": measured and dataclasses.asdict(measured),
            "unusable": result if isinstance(result, Unusable) else None,
        }
    counted = {name: Histogram.of(values[name], *SCORES[name][2:]) for name in SCORES}
    ledger |= {
        "rows": len(tasks),
        "quarantine": set_aside,
        "histograms": {name: histogram.counts.tolist() for name, histogram in counted.items()},
    }


def _add_up(ledgers: Sequence[dict]) -> dict[str, Histogram]:
    total = {name: Histogram.of([], score.low, score.high) for name, score in SCORES.items()}
    for ledger in ledgers:
        for name, counts in ledger["histograms"].items():
            total[name] += dataclasses.replace(total[name], counts=np.array(counts))
    return total


def judge_corpus(
    corpus: MeasuredCorpus,
    config: CurationConfig,
    out: Path,
    see: Callable[[Entry, Verdict], None] = lambda entry, verdict: None,
) -> None:
    """Writes the manifest of the kept rows and the quarantine. see: is called with each row and its
    verdict.
    """
    judge = Judge(config, corpus.histograms, corpus.repeated_keys())
    with (
        write_atomically(out / MANIFEST) as kept_path,
        write_atomically(out / QUARANTINE) as rejected_path,
        open(kept_path, "w", encoding="utf-8") as kept,
        open(rejected_path, "w", encoding="utf-8") as rejected,
    ):
        for bad in corpus.set_aside:
            _write_line(rejected, bad)
        for entry in corpus.entries():
            verdict = judge.judge(entry)
            see(entry, verdict)
            scores = {"scores": _known(entry.measured)} if entry.measured else {}
            if verdict.kept:
                _write_line(kept, {**entry.row, **scores})
            else:
                first = verdict.faults[0]
                line = put_aside(entry.row["id"], entry.row["audio"], first.reason, first.detail)
                reasons = [fault.reason for fault in verdict.faults]
                _write_line(rejected, {**line, "reasons": reasons, "text": entry.row["text"], **scores})


def _known(measured: Measured) -> dict[str, float]:
    return {name: value for name, value in measured.scores.items() if value is not None}


def _write_line(file: Any, value: dict) -> None:
    file.write(json.dumps(value, ensure_ascii=False) + "\n")
