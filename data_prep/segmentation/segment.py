"""Cuts long recordings at silences: a folder with a manifest for `data_prep units`.

    python -m data_prep segment --audio aligned --out parts

Rows with word times are cut between words, each part with its words and its own part of the text. Rows that
cannot be cut go to `quarantine.jsonl`, with a reason. Shorter rows and texts are kept as they are. Finished
files are kept: the same command continues where it was interrupted.
"""

import argparse
import sys
from pathlib import Path

from data_prep.segmentation.cuts import Lengths
from data_prep.segmentation.silence import Detector, require_silero
from data_prep.segmentation.stage import QUARANTINE, Work, segment_corpus
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_output_folder
from spirit_jax.datasets.corpus import Corpus
from spirit_jax.datasets.manifest import open_corpus


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    lengths = Lengths()
    parser.add_argument("--audio", type=Path, required=True, help="manifest, or folder of recordings")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--longest", type=float, default=lengths.longest, help="seconds of a part")
    parser.add_argument(
        "--shortest", type=float, default=lengths.shortest, help="seconds of a part, where that can be had"
    )
    parser.add_argument(
        "--silence", type=float, default=lengths.silence, help="seconds of the shortest silence"
    )
    parser.add_argument(
        "--detector",
        choices=[detector.value for detector in Detector],
        default=Detector.ENERGY.value,
        help="how silences are found",
    )
    parser.add_argument("--file-size", type=int, default=100, help="rows that are finished together")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if something was set aside")


def run(args: argparse.Namespace) -> int:
    """Cuts and prints the summary; 1 if `--strict` and the quarantine is not empty, else 0."""
    if args.file_size < 1:
        raise UserError("--file-size", args.file_size, "counts rows", "give 1 or more")
    lengths, detector = Lengths(args.shortest, args.longest, args.silence), Detector(args.detector)
    if detector is Detector.SILERO:
        require_silero()
    require_output_folder(args.out, "--out")
    corpus = open_corpus(args.audio)
    if not corpus.recordings:
        raise UserError("corpus", args.audio, "has no recordings", "give rows with audio")
    summary = segment_corpus(corpus, Work(lengths, detector), args.out, args.file_size)
    _report(summary, corpus, args.out)
    return int(args.strict and summary["n_quarantined"] > 0)


def _report(summary: dict, corpus: Corpus, out: Path) -> None:
    reasons = ", ".join(f"{count} {reason}" for reason, count in summary["reasons"].items())
    parts = (
        f"{summary['n_cut']} rows cut into {summary['n_parts']} parts of {summary['hours_of_parts']:.3f} h"
    )
    silence = f"{summary['hours_of_silence_left_out']:.3f} h of silence left out"
    whole = f"{summary['n_whole']} rows kept whole"
    aside = f"{summary['n_quarantined']} set aside" + (f": {reasons}" if reasons else "")
    print(f"{out}: read as {corpus.describe_layout()}, {', '.join((parts, silence, whole, aside))}")
    if summary["n_other_text"]:
        print(f"{summary['n_other_text']} rows have a text without their words; their parts have the words")
    if unread := corpus.describe_unread():
        print(f"left unread: {unread}")
    if summary["n_quarantined"]:
        where = out / QUARANTINE
        print(
            f"warning: {summary['n_quarantined']} rows or parts were set aside, see {where}", file=sys.stderr
        )
