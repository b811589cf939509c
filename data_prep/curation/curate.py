"""Keeps the utterances of an aligned corpus that are good to train on, and rejects the others with reasons.

    python -m data_prep curate --audio aligned --out curated --set alignment.least=0.4 silence.most=null

The limits are those of `data_prep.curation.config`. The scores are kept in `parts/`: with other limits the
same command only judges again.
"""

import argparse
import os
import sys
from pathlib import Path

from data_prep.curation.config import CurationConfig
from data_prep.curation.page import make_page
from data_prep.curation.stage import MANIFEST, QUARANTINE, judge_corpus, measure_corpus
from data_prep.curation.summary import Borderline, Tally
from data_prep.curation.unit_rates import UnitRates
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_output_folder, write_json, write_text
from spirit_jax.core.settings import load, override
from spirit_jax.datasets.manifest import stream_corpus
from spirit_jax.datasets.units_folder import open_units

PAGE, SUMMARY = "curation.html", "summary.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("--audio", type=Path, required=True, help="what data_prep align wrote, or a manifest")
    parser.add_argument("--units", type=Path, help="units of the same utterances, for the unit rate")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", type=Path, help="a recipe (.py with config()) or a .json file of limits")
    parser.add_argument(
        "--set",
        nargs="*",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="changes to the limits: silence.most=0.5",
    )
    parser.add_argument(
        "--examples", type=int, default=20, help="of the kept and of the rejected on the page"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--part-size", type=int, default=1000, help="rows of a part")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if an utterance was rejected")


def run(args: argparse.Namespace) -> int:
    """Curates and prints the summary; 1 if `--strict` and something was rejected, else 0."""
    for name, value, least in (
        ("--processes", args.processes, 1),
        ("--part-size", args.part_size, 1),
        ("--examples", args.examples, 0),
    ):
        if value < least:
            raise UserError(name, value, f"must be at least {least}", f"give {name} {least} or more")
    require_output_folder(args.out, "--out")
    config = override(load(args.config, CurationConfig) if args.config else CurationConfig(), args.set)
    rates = UnitRates(open_units(args.units)) if args.units else None
    (args.out / SUMMARY).unlink(missing_ok=True)
    corpus = measure_corpus(stream_corpus(args.audio), rates, args.out, args.processes, args.part_size)
    if not any(histogram.count for histogram in corpus.histograms.values()):
        raise UserError(
            "--audio", args.audio, "has no utterance whose sound can be used", "see its recordings"
        )
    tally = Tally(Borderline(args.examples), Borderline(args.examples))
    judge_corpus(corpus, config, args.out, tally.see)
    summary = tally.summary(config, corpus.histograms, corpus.set_aside)
    if args.units and not summary["scores"]["unit_rate"]["n"]:
        raise UserError(
            "--units", args.units, "has no utterance of the corpus", "extract the units of --audio"
        )
    write_text(args.out / PAGE, make_page(args.out.name, summary, config, corpus.histograms, tally))
    write_json(args.out / SUMMARY, summary)
    _report(summary, args.out)
    return int(args.strict and summary["n_quarantined"] > 0)


def _report(summary: dict, out: Path) -> None:
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in summary["reasons"].items())
    texts = f", {summary['n_texts']:,} texts" if summary["n_texts"] else ""
    print(
        f"{out / MANIFEST}: {summary['n_kept']:,} utterances kept, {summary['hours_kept']:.3f} h{texts}; "
        f"{summary['n_quarantined']:,} rejected, {summary['hours_quarantined']:.3f} h"
        + (f": {reasons}" if reasons else "")
    )
    print(f"{out / PAGE}")
    if summary["n_quarantined"]:
        print(
            f"warning: {summary['n_quarantined']} rows were rejected, see {out / QUARANTINE}", file=sys.stderr
        )
