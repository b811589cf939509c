"""Encodes the recordings of a corpus: a units folder (`spirit_jax.datasets.units_folder`).

    python -m data_prep units --audio corpus/manifest.jsonl --codec codec --out units

Recordings and rows that cannot be used go to `quarantine.jsonl`, with a reason. Each shard,
`units-SSSSS-of-NNNNN.jsonl`, is written atomically and has a ledger in `done/`. A later call makes only the
shards whose rows, recordings or codec have changed. `summary.json` is written last. Several hosts each take a
share of the recordings, by `--part` or `--distributed`.
"""

import argparse
import collections
import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np

from data_prep.jobs.row_sound import load_row
from data_prep.jobs.stage_files import StageFiles
from data_prep.sound_queue import Admit, read_ahead
from spirit_jax.core.errors import UserError, is_out_of_memory
from spirit_jax.core.files import require_output_folder, write_json, write_jsonl
from spirit_jax.core.progress import Progress
from spirit_jax.datasets.corpus import Corpus, count_reasons, put_aside
from spirit_jax.datasets.manifest import open_corpus
from spirit_jax.datasets.shares import Share, read_share, share_corpus
from spirit_jax.datasets.units_folder import SUMMARY
from spirit_jax.runs.processes import join_processes
from spirit_jax.speech import audio
from spirit_jax.speech.codec import Codec
from spirit_jax.speech.codec_folder import load_codec
from spirit_jax.speech.segments import groups
from spirit_jax.tokens.streams import SAMPLE_RATE, SpeechTokens

QUARANTINE = "quarantine.jsonl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("--audio", type=Path, required=True, help="manifest, or folder of recordings")
    parser.add_argument(
        "--codec", type=Path, required=True, help="codec folder; python -m data_prep fit-codec makes one"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shard-size", type=int, default=1000, help="rows of a shard")
    parser.add_argument("--part", help="INDEX/COUNT: this host's share of the recordings, in OUT/part-*")
    parser.add_argument("--distributed", action="store_true", help="the same, by the number of this process")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a recording was set aside")


def run(args: argparse.Namespace) -> int:
    """Extracts and prints the summary; 1 if `--strict` and the quarantine is not empty, else 0."""
    if args.shard_size < 1:
        raise UserError("--shard-size", args.shard_size, "counts rows", "give 1 or more")
    require_output_folder(args.out, "--out")
    share = _read_share(args)
    corpus = open_corpus(args.audio)
    if not corpus.recordings:
        raise UserError("corpus", args.audio, "has no recordings", "give rows with audio")
    corpus, out = share_corpus(corpus, share), share.folder(args.out)
    summary = extract(corpus, load_codec(args.codec), out, args.shard_size)
    print(f"{out}: {_describe(summary, corpus)}")
    if summary["n_quarantined"]:
        count = summary["n_quarantined"]
        print(f"warning: {count} recordings or rows were set aside, see {out / QUARANTINE}", file=sys.stderr)
    return int(args.strict and summary["n_quarantined"] > 0)


def _read_share(args: argparse.Namespace) -> Share:
    if args.part is not None and args.distributed:
        raise UserError("--part, --distributed", "both", "name the share twice", "give one of them")
    if args.distributed:
        join_processes()
        return Share(jax.process_index(), jax.process_count())
    return Share() if args.part is None else read_share(args.part)


def extract(corpus: Corpus, codec: Codec, out: Path, shard_size: int) -> dict:
    """Writes shards of `shard_size` rows, the quarantine and the summary; returns the summary."""

    def make(rows: Sequence[dict], ledger: dict, progress: Progress) -> Iterator[dict]:
        ledger.update(n_ok=0, seconds=0.0, splits={})
        return _encode(rows, codec, ledger, progress)

    (out / SUMMARY).unlink(missing_ok=True)
    shards = StageFiles(out, out / "done", "units")
    files, ledgers = shards.make("units", corpus.recordings, shard_size, codec.fingerprint.encode(), make)
    quarantine = [*corpus.set_aside, *(bad for ledger in ledgers for bad in ledger["quarantine"])]
    write_jsonl(out / QUARANTINE, quarantine)
    names = [file.path.name for file in files]
    summary = _summarize(corpus, quarantine, ledgers, codec) | {"shards": names}
    write_json(out / SUMMARY, summary)
    return summary


def _encode(rows: Sequence[dict], codec: Codec, ledger: dict, progress: Progress) -> Iterator[dict]:
    """Finished rows in order; counts them, and adds unusable recordings, in the ledger."""
    with contextlib.closing(read_ahead(rows, _read)) as sounds:
        for batch in groups(sounds, samples=lambda item: _samples(item[1])):
            encoded = iter(encode_fitting(codec, [wav for _, wav in batch if isinstance(wav, np.ndarray)]))
            for row, wav in batch:
                made = next(encoded) if isinstance(wav, np.ndarray) else wav
                if isinstance(made, audio.BadAudio):
                    ledger["quarantine"].append(put_aside(row["id"], row["audio"], made.reason, made.detail))
                    continue
                seconds = len(wav) / SAMPLE_RATE
                ledger["n_ok"] += 1
                ledger["seconds"] += seconds
                ledger["splits"][row["split"]] = ledger["splits"].get(row["split"], 0) + 1
                yield _finish_row(row, made, seconds)
            progress.advance(len(batch))


def encode_fitting(codec: Codec, wavs: Sequence[np.ndarray]) -> list[SpeechTokens | audio.BadAudio]:
    """The codes of each wav, or BadAudio for one that does not fit into a device's memory, alone."""
    try:
        return [*codec.encode_batch(wavs)] if wavs else []
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        if len(wavs) == 1:
            detail = f"{len(wavs[0]) / SAMPLE_RATE:.1f} s do not fit into a device's memory"
            return [audio.BadAudio("device_memory", detail)]
    middle = len(wavs) // 2
    return [*encode_fitting(codec, wavs[:middle]), *encode_fitting(codec, wavs[middle:])]


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
