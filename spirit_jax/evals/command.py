"""`python -m spirit_jax eval`: held-out loss, choice of the right continuation, word error rates.

python -m spirit_jax eval --checkpoint runs/demo --shards shards \
    --split heldout --tasks loss,choice,transcription --out eval.json
"""

import argparse
import itertools
import sys
import time
from pathlib import Path

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_file_place, write_json
from spirit_jax.core.progress import Progress
from spirit_jax.datasets.shards import Layout, check_compatible, open_shards
from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.registry import GROUPS, TASKS, expand
from spirit_jax.generation.spirit_lm import SpiritLM
from spirit_jax.tokens.interleave import Record


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument(
        "--checkpoint",
        required=True,
        help="run folder, one of its step folders, or a folder of converted weights",
    )
    parser.add_argument("--shards", required=True, help="folder of aligned shards")
    parser.add_argument("--split", default="heldout")
    parser.add_argument(
        "--tasks",
        default="loss,choice,transcription",
        help=f"any of {', '.join([*GROUPS, *TASKS])}, separated by commas",
    )
    parser.add_argument(
        "--max-records", type=int, default=300, help="records of the split that are used, from its first on"
    )
    parser.add_argument("--seed", type=int, default=0, help="of distractors, spans and bootstrap")
    parser.add_argument("--out", type=Path, required=True, help="JSON file")


def run(args: argparse.Namespace) -> int:
    """Writes the results and prints a line a task."""
    tasks = expand(args.tasks.split(","))
    if args.max_records < 1:
        raise UserError(
            "--max-records", args.max_records, "must be at least 1", "300 gives intervals of about 0.05"
        )
    require_file_place(args.out, "--out")
    started = time.monotonic()
    lm = SpiritLM.load(args.checkpoint)
    records = read_records(lm, args.shards, args.split, args.max_records)
    evaluation = Evaluation(lm, records, seed=args.seed)
    if too_long := len(records) - len(evaluation.asked):
        told = (
            f"{too_long} of {len(records)} records have more than {evaluation.longest:,} "
            "tokens: cut for the loss, left out of the rest"
        )
        print(f"warning: {told}", file=sys.stderr)
    results = evaluate(evaluation, tasks)
    about = {
        "checkpoint": str(args.checkpoint),
        "shards": str(args.shards),
        "split": args.split,
        "records": len(records),
        "too_long": too_long,
        "seed": args.seed,
    }
    write_json(args.out, {**about, "wall_seconds": round(time.monotonic() - started, 1), "tasks": results})
    for name, result in results.items():
        print(f"{name}: {summarize(result)}")
    return 0


def read_records(lm: SpiritLM, folder: str | Path, split: str, most: int) -> list[Record]:
    """The first `most` records of an aligned split; shards of another vocabulary, tokenizer or encoder are a
    UserError.
    """
    shards = open_shards(folder, Layout.ALIGNED, split)
    encoder = lm.codec.fingerprint if lm.codec_path else None
    check_compatible(shards.metadata, lm.vocabulary, lm.tokenizer.fingerprint, encoder)
    return [record for record in itertools.islice(shards, most) if isinstance(record, Record)]


def evaluate(evaluation: Evaluation, tasks: list[str]) -> dict[str, dict]:
    """Results by task, in order."""
    results = {}
    with Progress("eval", len(tasks), "task") as progress:
        for name in tasks:
            results[name] = TASKS[name](evaluation)
            progress.advance(note=f"{name} {summarize(results[name])}")
    return results


def summarize(result: dict) -> str:
    """A result in a line."""
    if "value" in result:
        extent = (
            f"of {result['pairs']} pairs, {result['n']} items"
            if "pairs" in result
            else f"of {result['n']} utterances"
        )
        if result["value"] is None:
            return f"nothing to measure, {extent}"
        return f"{result['value']:.3f} [{result['low']:.3f}, {result['high']:.3f}] {extent}"
    told = {
        name: " ".join(f"{kind} {nll:.3f}" for kind, nll in part["nll"].items())
        for name, part in result.items()
    }
    return ", ".join(f"{name} {kinds}" for name, kinds in told.items() if kinds) or "nothing to measure"
