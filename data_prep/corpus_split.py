"""Holds sentences and voices out of a corpus, so that nothing that is held out is trained on.

    python -m data_prep split --corpus recordings texts.jsonl --out work/split

All later stages use the manifest in `--out` (`spirit_jax.datasets.splits.HeldOut` has the rule).
"""

import argparse
import collections
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import drop_partials, require_output_folder, write_atomically, write_json
from spirit_jax.core.progress import track
from spirit_jax.core.stored_files import format_suffix
from spirit_jax.datasets.corpus import Corpus, ManifestRow, find_repeated, put_aside
from spirit_jax.datasets.manifest import open_corpus
from spirit_jax.datasets.splits import HeldOut, LeftOut, choose_held_out

MANIFEST, QUARANTINE, SUMMARY = "manifest.jsonl", "quarantine.jsonl", "summary.json"
GIVEN = "splits that the corpus itself holds out"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("--corpus", type=Path, nargs="+", required=True, help="folders, manifests or texts")
    parser.add_argument("--lines", action="store_true", help="each line of a .txt is a text")
    parser.add_argument("--out", type=Path, required=True, help="folder for the manifest")
    parser.add_argument("--sentences", type=float, default=0.01, help="share of the sentences to hold out")
    parser.add_argument("--voices", type=float, default=0.02, help="share of the voices to hold out")


def run(args: argparse.Namespace) -> int:
    """Writes the manifest and prints the counts."""
    for name, share in (("--sentences", args.sentences), ("--voices", args.voices)):
        if not 0 <= share < 1:
            raise UserError(name, share, "is a share", "give at least 0 and less than 1")
    if args.lines and ".txt" not in map(format_suffix, args.corpus):
        raise UserError("--lines", args.corpus, "needs a .txt file", "leave it out")
    require_output_folder(args.out, "--out", known_by=SUMMARY)
    corpora = [open_corpus(path, args.lines) for path in args.corpus]
    summary = split_corpora(corpora, args.out, args.sentences, args.voices)
    print(f"{args.out}: {_describe(summary)}")
    return 0


def split_corpora(corpora: list[Corpus], out: Path, sentences: float, voices: float) -> dict[str, Any]:
    """Writes manifest, quarantine and summary as the folder `out`; returns the summary.

    UserError for an id of two corpora.
    """

    def rows() -> Iterator[ManifestRow]:
        return itertools.chain.from_iterable(corpus.rows for corpus in corpora)

    if repeated := find_repeated(lambda: (row["id"] for row in rows())):
        rule = f"names rows of two corpora; {len(repeated):,} ids do so"
        raise UserError("id", repeated[0], rule, "rename them, or leave out what is given twice")
    held = choose_held_out(rows, sentences, voices)
    drop_partials(out.absolute().parent, out.name)
    with write_atomically(out) as partial:
        partial.mkdir()
        counts, reasons = _write_rows(rows(), [bad for c in corpora for bad in c.set_aside], held, partial)
        summary = {
            "splits": dict(counts),
            "reasons": dict(reasons.most_common()),
            "voices_held_out": sorted(held.voices),
            "leaked_by_corpus": sum(map(held.leaks, rows())) if held.given else 0,
            "sentences": sentences,
            "voices": voices,
        }
        write_json(partial / SUMMARY, summary)
    return summary


def _write_rows(
    rows: Iterable[ManifestRow], set_aside: Iterable[dict], held: HeldOut, folder: Path
) -> tuple[collections.Counter[str], collections.Counter[str]]:
    """Writes each row into the manifest or the quarantine; returns how many of each split and reason."""
    counts, reasons = collections.Counter(), collections.Counter()
    with open(folder / MANIFEST, "w") as manifest, open(folder / QUARANTINE, "w") as quarantine:

        def leave_out(bad: dict) -> None:
            reasons[bad["reason"]] += 1
            quarantine.write(json.dumps(bad) + "\n")

        for bad in set_aside:
            leave_out(bad)
        for row in track(rows, "split", unit="rows"):
            split = held.split_of(row)
            if isinstance(split, LeftOut):
                leave_out(put_aside(row["id"], row["audio"], split.reason, split.detail))
            else:
                counts[split] += 1
                manifest.write(json.dumps({**row, "split": split}) + "\n")
    return counts, reasons


def _describe(summary: dict[str, Any]) -> str:
    """The counts in one line, and a second one on what the corpus itself leaks."""
    parts = [", ".join(f"{count:,} {name}" for name, count in sorted(summary["splits"].items()))]
    parts.append(f"{len(summary['voices_held_out'])} voices held out")
    left = ", ".join(f"{count:,} {reason}" for reason, count in summary["reasons"].items())
    line = ", ".join(parts) + f"; left out: {left or 'nothing'}"
    leaked = summary["leaked_by_corpus"]
    return line + (f"\nwarning: {leaked:,} rows for training have sentences of {GIVEN}" if leaked else "")
