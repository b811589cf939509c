"""Encodes the recordings of a corpus: a units folder (`spirit_jax.datasets.units_folder`).

    python -m data_prep units --audio corpus/manifest.jsonl --codec codec --out units

Recordings and rows that cannot be used go to `quarantine.jsonl`, with a reason. Each shard,
`units-SSSSS-of-NNNNN.jsonl`, is written atomically and has a ledger in `done/`. A later call makes only the
shards whose rows, recordings or codec have changed. `summary.json` is written last.
"""

import argparse
import collections
import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_prep.jobs.row_sound import identity_of, load_row
from data_prep.sound_queue import Admit, read_ahead
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import (
    drop_partials,
    fingerprint,
    read_json,
    require_output_folder,
    write_json,
    write_jsonl,
)
from spirit_jax.core.progress import Progress
from spirit_jax.datasets.corpus import Corpus, count_reasons, put_aside
from spirit_jax.datasets.manifest import open_corpus
from spirit_jax.datasets.units_folder import SUMMARY
from spirit_jax.speech import audio
from spirit_jax.speech.codec import Codec
from spirit_jax.speech.codec_folder import load_codec
from spirit_jax.speech.segments import groups
from spirit_jax.tokens.streams import SAMPLE_RATE, SpeechTokens

QUARANTINE = "quarantine.jsonl"
BATCH_SECONDS = 300.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("--audio", type=Path, required=True, help="manifest, or folder of recordings")
    parser.add_argument(
        "--codec", type=Path, required=True, help="codec folder; python -m data_prep fit-codec makes one"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shard-size", type=int, default=1000, help="rows of a shard")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a recording was set aside")


def run(args: argparse.Namespace) -> int:
    """Extracts and prints the summary; 1 if `--strict` and the quarantine is not empty, else 0."""
    if args.shard_size < 1:
        raise UserError("--shard-size", args.shard_size, "counts rows", "give 1 or more")
    require_output_folder(args.out, "--out")
    corpus = open_corpus(args.audio)
    if not corpus.recordings:
        raise UserError("corpus", args.audio, "has no recordings", "give rows with audio")
    summary = extract(corpus, load_codec(args.codec), args.out, args.shard_size)
    print(f"{args.out}: {_describe(summary, corpus)}")
    if summary["n_quarantined"]:
        count = summary["n_quarantined"]
        print(
            f"warning: {count} recordings or rows were set aside, see {args.out / QUARANTINE}",
            file=sys.stderr,
        )
    return int(args.strict and summary["n_quarantined"] > 0)


def extract(corpus: Corpus, codec: Codec, out: Path, shard_size: int) -> dict:
    """Writes shards of `shard_size` rows, the quarantine and the summary; returns the summary."""
    rows = corpus.recordings
    slices = [rows[i : i + shard_size] for i in range(0, len(rows), shard_size)]
    shards = [Shard(out, number, len(slices)) for number in range(len(slices))]
    (out / SUMMARY).unlink(missing_ok=True)
    ledgers = []
    with Progress("units", len(rows), "utt") as progress:
        for shard, part in zip(shards, slices):
            inputs = fingerprint(codec.fingerprint.encode(), *map(identity_of, part))
            ledger = shard.finished(inputs)
            if ledger is None:
                ledger = shard.write(part, codec, inputs, progress)
            else:
                progress.advance(len(part), "(unchanged)")
            ledgers.append(ledger)
    _drop_stale(out, shards)
    quarantine = [*corpus.set_aside, *(bad for ledger in ledgers for bad in ledger["quarantine"])]
    write_jsonl(out / QUARANTINE, quarantine)
    summary = _summarize(corpus, quarantine, ledgers, codec) | {"shards": [s.path.name for s in shards]}
    write_json(out / SUMMARY, summary)
    return summary


@dataclasses.dataclass(frozen=True)
class Shard:
    """One output file and its ledger: its inputs, its counts and its part of the quarantine."""

    out: Path
    number: int
    total: int

    @property
    def path(self) -> Path:
        """The rows with their codes."""
        return self.out / f"units-{self.number:05d}-of-{self.total:05d}.jsonl"

    @property
    def ledger_path(self) -> Path:
        """Written after `path`."""
        return self.out / "done" / self.path.with_suffix(".json").name

    def finished(self, inputs: str) -> dict | None:
        """The ledger, if the shard was made of these inputs."""
        if not self.path.is_file() or not self.ledger_path.is_file():
            return None
        ledger = read_json(self.ledger_path)
        return ledger if ledger["inputs"] == inputs else None

    def write(self, rows: list[dict], codec: Codec, inputs: str, progress: Progress) -> dict:
        """Encodes `rows` into the file, then writes the ledger."""
        self.ledger_path.unlink(missing_ok=True)
        ledger = {"inputs": inputs, "n_ok": 0, "seconds": 0.0, "splits": {}, "quarantine": []}
        with contextlib.closing(_encode(rows, codec, ledger, progress)) as encoded:
            write_jsonl(self.path, encoded)
        write_json(self.ledger_path, ledger)
        return ledger


def _encode(rows: list[dict], codec: Codec, ledger: dict, progress: Progress) -> Iterator[dict]:
    """Finished rows in order; counts them, and adds unusable recordings, in the ledger."""
    with contextlib.closing(read_ahead(rows, _read)) as sounds:
        for batch in groups(sounds, BATCH_SECONDS, lambda item: _samples(item[1])):
            good = [(row, wav) for row, wav in batch if isinstance(wav, np.ndarray)]
            encoded = codec.encode_batch([wav for _, wav in good]) if good else []
            for row, bad in batch:
                if isinstance(bad, audio.BadAudio):
                    ledger["quarantine"].append(put_aside(row["id"], row["audio"], bad.reason, bad.detail))
            for (row, wav), speech in zip(good, encoded):
                seconds = len(wav) / SAMPLE_RATE
                ledger["n_ok"] += 1
                ledger["seconds"] += seconds
                ledger["splits"][row["split"]] = ledger["splits"].get(row["split"], 0) + 1
                yield _finish_row(row, speech, seconds)
            progress.advance(len(batch))


def _finish_row(row: dict, speech: SpeechTokens, seconds: float) -> dict:
    codes = {name: values.tolist() for name, values in speech.codes.items()}
    return {**row, **codes, "duration_s": round(seconds, 4)}


def _read(row: dict, admit: Admit) -> np.ndarray | audio.BadAudio:
    try:
        return load_row(row, admit)
    except audio.BadAudio as error:
        return error


def _samples(wav: np.ndarray | audio.BadAudio) -> int:
    return len(wav) if isinstance(wav, np.ndarray) else 0


def _drop_stale(out: Path, shards: list[Shard]) -> None:
    """Removes shards and ledgers of another shard size, and temporary files of a killed call."""
    drop_partials(out, "units-*")
    kept = {path for shard in shards for path in (shard.path, shard.ledger_path)}
    for path in [*out.glob("units-*-of-*.jsonl"), *out.glob("done/units-*-of-*.json")]:
        if path not in kept:
            path.unlink()


def _summarize(corpus: Corpus, quarantine: list[dict], ledgers: list[dict], codec: Codec) -> dict:
    splits = sum((collections.Counter(ledger["splits"]) for ledger in ledgers), collections.Counter())
    return {
        "n_ok": sum(ledger["n_ok"] for ledger in ledgers),
        "n_quarantined": len(quarantine),
        "hours": round(sum(ledger["seconds"] for ledger in ledgers) / 3600, 6),
        "reasons": count_reasons(quarantine),
        "splits": dict(splits),
        "n_recordings": len(corpus.recordings),
        "n_with_transcript": corpus.transcribed,
        "n_untimed": corpus.untimed,
        "layout": corpus.layout,
        "ignored": corpus.ignored,
        "unread": corpus.unread,
        "encoder_fingerprint": codec.fingerprint,
        "streams": [stream.to_dict() for stream in codec.streams],
    }


def _describe(summary: dict, corpus: Corpus) -> str:
    """The counts of a summary in one line."""
    reasons = ", ".join(f"{count} {reason}" for reason, count in summary["reasons"].items())
    parts = [
        f"read as {corpus.describe_layout()}",
        f"{summary['n_ok']} utterances",
        f"{summary['hours']:.3f} h",
        f"{corpus.transcribed} of {len(corpus.recordings)} with a transcript",
        f"{summary['n_quarantined']} set aside" + (f": {reasons}" if reasons else ""),
    ]
    if corpus.untimed:
        parts.append(f"{corpus.untimed} with words without times kept as unaligned")
    line = ", ".join(parts)
    return f"{line}; left unread: {unread}" if (unread := corpus.describe_unread()) else line
