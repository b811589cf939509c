"""The work of `data_prep segment`: rows in files (`data_prep.jobs.stage_files`), then the manifest."""

import collections
import contextlib
import dataclasses
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from data_prep.jobs.stage_files import StageFiles
from data_prep.segmentation.cuts import Lengths
from data_prep.segmentation.parts import Cut, TooLong, cut_row
from data_prep.segmentation.silence import Detector, Loudness, measure
from data_prep.sound_queue import Admit, read_ahead
from spirit_jax.core.files import drop_partials, write_json, write_jsonl
from spirit_jax.core.progress import Progress
from spirit_jax.core.settings import to_dict
from spirit_jax.datasets.corpus import Corpus, count_reasons, put_aside
from spirit_jax.datasets.manifest import part_of
from spirit_jax.speech import audio

MANIFEST, QUARANTINE, SUMMARY = "manifest.jsonl", "quarantine.jsonl", "summary.json"
VERSION = "1"  # of the rules; another one makes the files of an earlier version again
NAME_OF_A_PART = re.compile(r"(.+)#\d{5,}")


@dataclasses.dataclass(frozen=True)
class Work:
    """How long recordings are cut."""

    lengths: Lengths
    detector: Detector

    @property
    def identity(self) -> bytes:
        """Differs where results may differ."""
        return json.dumps([VERSION, self.detector.value, to_dict(self.lengths)]).encode()

    def cut(self, row: dict, _: Admit) -> Cut | audio.BadAudio | None:
        """The row's parts; None for a row that is short enough or has no sound."""
        if not row["audio"]:
            return None
        try:
            if audio.stated_seconds(row["audio"], part_of(row)) <= self.lengths.longest:
                return None
            if row["text"] and not row["words"]:
                detail = (
                    f"longer than {self.lengths.longest:g} s and without word times: run make align first"
                )
                return audio.BadAudio("unaligned", detail)
            sound = measure(audio.stream(row["audio"], part_of(row)), self.detector)
            return self._cut_measured(row, sound)
        except audio.BadAudio as error:
            return error

    def _cut_measured(self, row: dict, sound: Loudness) -> Cut | None:
        if sound.seconds <= self.lengths.longest:  # the file did not say how long it is
            return None
        last = max((end for _, _, end in row["words"] or ()), default=0.0)
        if last > sound.seconds + audio.SLACK_S:
            detail = f"a word ends at {last:.2f} s, the sound at {sound.seconds:.2f} s; times are in seconds"
            raise audio.BadAudio("words_beyond_sound", detail)
        if not row["words"] and sound.silent_T.all():
            raise audio.BadAudio("silent", f"{sound.seconds:.1f} s without speech")
        return cut_row(row, sound, self.lengths)


def segment_corpus(corpus: Corpus, work: Work, out: Path, file_size: int) -> dict:
    """Writes the parts, the manifest, the quarantine and the summary, which it returns."""

    def make(rows: Sequence[dict], ledger: dict, progress: Progress) -> Iterator[dict]:
        ledger["counts"] = collections.Counter()
        return _finish(rows, work, ledger["counts"], ledger["quarantine"], progress)

    drop_partials(out, "*")
    (out / SUMMARY).unlink(missing_ok=True)
    rows, clashing = _without_clashes(corpus.rows)
    stage = StageFiles(out / "parts", out / "parts", "part")
    files, ledgers = stage.make("segment", rows, file_size, work.identity, make)
    write_jsonl(out / MANIFEST, (row for file in files for row in file.rows()))
    quarantine = [*corpus.set_aside, *clashing, *(bad for ledger in ledgers for bad in ledger["quarantine"])]
    write_jsonl(out / QUARANTINE, quarantine)
    summary = _summarize(corpus, quarantine, ledgers, work)
    write_json(out / SUMMARY, summary)
    return summary


def _without_clashes(rows: Sequence[dict]) -> tuple[list[dict], list[dict]]:
    """The rows, and lines of the quarantine for rows whose id a part of another row may get."""
    ids = {row["id"] for row in rows}
    kept, clashing = [], []
    for row in rows:
        match = NAME_OF_A_PART.fullmatch(row["id"])
        if match and match[1] in ids:
            detail = f"a part of {match[1]} may get its id; rename it"
            clashing.append(put_aside(row["id"], row["audio"], "duplicate_id", detail))
        else:
            kept.append(row)
    return kept, clashing


def _finish(
    rows: Sequence[dict], work: Work, counts: collections.Counter, quarantine: list[dict], progress: Progress
) -> Iterator[dict]:
    """Finished rows in order; counts them, and adds what cannot be used to the quarantine."""
    with contextlib.closing(read_ahead(rows, work.cut)) as outcomes:
        for row, outcome in outcomes:
            progress.advance()
            if outcome is None:
                counts["whole"] += 1
                yield row
            elif isinstance(outcome, audio.BadAudio):
                quarantine.append(put_aside(row["id"], row["audio"], outcome.reason, outcome.detail))
            else:
                counts["cut"] += 1
                counts["other_text"] += outcome.other_text
                counts["seconds"] += outcome.seconds
                yield from _finish_parts(outcome, counts, quarantine)


def _finish_parts(cut: Cut, counts: collections.Counter, quarantine: list[dict]) -> Iterator[dict]:
    for part in cut.parts:
        if isinstance(part, TooLong):
            row = part.row
            bad = put_aside(row["id"], row["audio"], part.reason, part.detail)
            times = {key: row[key] for key in ("offset", "duration", "text")}
            quarantine.append({**bad, **times})
            counts["seconds_set_aside"] += row["duration"]
        else:
            counts["parts"] += 1
            counts["seconds_kept"] += part["duration"]
            yield part


def _summarize(corpus: Corpus, quarantine: Sequence[dict], ledgers: Sequence[dict], work: Work) -> dict:
    counts = sum((collections.Counter(ledger["counts"]) for ledger in ledgers), collections.Counter())
    left_out = counts["seconds"] - counts["seconds_kept"] - counts["seconds_set_aside"]
    return {
        "detector": work.detector.value,
        "lengths": to_dict(work.lengths),
        "n_whole": counts["whole"],
        "n_cut": counts["cut"],
        "n_parts": counts["parts"],
        "n_other_text": counts["other_text"],
        "hours_of_parts": round(counts["seconds_kept"] / 3600, 6),
        "hours_of_silence_left_out": round(max(0.0, left_out) / 3600, 6),
        "n_quarantined": len(quarantine),
        "reasons": count_reasons(quarantine),
        "layout": corpus.layout,
        "ignored": corpus.ignored,
        "unread": corpus.unread,
    }
