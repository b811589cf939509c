"""Gives the utterances of a corpus word times: a folder with a manifest for `data_prep units`.

    python -m data_prep align --audio recordings --out aligned

The aligner is pocketsphinx (English), a CTC network (`--ctc`), or one whose results are given (`--times`).
Utterances without word times go to `quarantine.jsonl`, with a reason. Finished parts are kept: the same
command continues where it was interrupted.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from data_prep.alignment.aligners import Aligner, CtcAligner, GivenAligner, SphinxAligner
from data_prep.alignment.casing import Casing
from data_prep.alignment.given import read_times
from data_prep.alignment.stage import QUARANTINE, Work, align_corpus
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_output_folder
from spirit_jax.datasets.corpus import Corpus
from spirit_jax.datasets.manifest import open_corpus


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("--audio", type=Path, required=True, help="manifest, or folder of recordings")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--ctc", type=Path, help="Hugging Face Wav2Vec2ForCTC folder, for any language")
    parser.add_argument("--times", type=Path, help="TextGrid, CTM or JSON word times: a file or a folder")
    parser.add_argument("--language", default="en", help="of the numbers in the text, as num2words names it")
    parser.add_argument("--casing", choices=[c.value for c in Casing], default=Casing.AS_IS.value)
    parser.add_argument(
        "--splits", nargs="+", help="that are aligned; rows of others are kept as they are (default: all)"
    )
    parser.add_argument("--replace", action="store_true", help="align rows that have word times, too")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="of pocketsphinx")
    parser.add_argument("--part-size", type=int, default=1000, help="rows of a part")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if an utterance was set aside")


def run(args: argparse.Namespace) -> int:
    """Aligns and prints the summary; 1 if `--strict` and the quarantine is not empty, else 0."""
    for name, value in (("--processes", args.processes), ("--part-size", args.part_size)):
        if value < 1:
            raise UserError(name, value, "must be at least 1", f"for example {name} 2")
    require_output_folder(args.out, "--out")
    corpus = open_corpus(args.audio)
    if not corpus.recordings:
        raise UserError("corpus", args.audio, "has no recordings", "give rows with audio")
    _check_splits(args.splits or (), corpus)
    aligner, started = _make_aligner(args), time.monotonic()
    try:
        work = Work(aligner, Casing(args.casing), args.replace, args.splits)
        summary = align_corpus(corpus, work, args.out, args.part_size)
    finally:
        aligner.close()
    _report(summary, corpus, args.out, time.monotonic() - started)
    return int(args.strict and summary["n_quarantined"] > 0)


def _check_splits(splits: Sequence[str], corpus: Corpus) -> None:
    if splits and (missing := set(splits) - (known := {row["split"] for row in corpus.rows})):
        fix = f"its splits are {', '.join(sorted(known))}"
        raise UserError("--splits", ", ".join(sorted(missing)), "no row of the corpus has it", fix)


def _make_aligner(args: argparse.Namespace) -> Aligner:
    if args.ctc and args.times:
        raise UserError("--ctc, --times", "both", "are two aligners", "give one of them")
    if args.times:
        return GivenAligner(read_times(args.times), args.language)
    if args.ctc:
        from spirit_jax.speech.encoders.wav2vec2.ctc import load_ctc

        return CtcAligner(load_ctc(args.ctc), args.language)
    if args.language != "en":
        fix = "give --ctc with a network of the language, or --times"
        raise UserError("--language", args.language, "pocketsphinx aligns English only", fix)
    return SphinxAligner(args.processes)


def _report(summary: dict, corpus: Corpus, out: Path, seconds: float) -> None:
    reasons = ", ".join(f"{count} {reason}" for reason, count in summary["reasons"].items())
    print(
        f"{out}: {summary['n_aligned']} utterances aligned in {seconds:.0f} s, {summary['words']} words, "
        f"{summary['words_joined']} of them joined to a neighbour; "
        f"{summary['n_quarantined']} set aside" + (f": {reasons}" if reasons else "")
    )
    kept = {
        "n_had_word_times": "had word times",
        "n_speech_only": "without text",
        "n_text_only": "not spoken",
        "n_of_other_splits": "of other splits than --splits",
    }
    if any(summary[key] for key in kept):
        print("kept as they are: " + ", ".join(f"{summary[key]} {what}" for key, what in kept.items()))
    if unread := corpus.describe_unread():
        print(f"left unread: {unread}")
    if summary["n_quarantined"]:
        where = out / QUARANTINE
        print(f"warning: {summary['n_quarantined']} utterances were set aside, see {where}", file=sys.stderr)
