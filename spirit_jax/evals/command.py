"""`python -m spirit_jax eval`: held-out loss, choice of the right continuation, word error rates.

python -m spirit_jax eval --checkpoint runs/demo --shards shards \
    --split heldout --tasks loss,choice,transcription --out eval.json
"""

import argparse
import sys
import time
from pathlib import Path

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_output_file, write_json
from spirit_jax.core.progress import Progress
from spirit_jax.evals.evaluation import Evaluation, read_records
from spirit_jax.evals.registry import GROUPS, TASKS, expand
from spirit_jax.evals.results import summarize, to_json
from spirit_jax.evals.task import Result, measure
from spirit_jax.generation.model_options import add_model_arguments, load_lm

DEFAULT_TASKS = "loss,choice,transcription"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    add_model_arguments(parser)
    parser.add_argument("--shards", required=True, help="folder of aligned shards")
    parser.add_argument("--split", default="heldout")
    parser.add_argument(
        "--tasks",
        help=f"any of {', '.join([*GROUPS, *TASKS])}, separated by commas (default: {DEFAULT_TASKS}, without "
        "those whose prompts the model was not trained on)",
    )
    parser.add_argument(
        "--max-records",
        type=int,
        default=300,
        help="how many records of the split are used, counted from the first",
    )
    parser.add_argument("--seed", type=int, default=0, help="of distractors, spans and bootstrap")
    parser.add_argument("--out", type=Path, required=True, help="JSON file")


def run(args: argparse.Namespace) -> int:
    """Writes the results and prints a line for each task."""
    tasks = expand((args.tasks or DEFAULT_TASKS).split(","))
    if args.max_records < 1:
        raise UserError(
            "--max-records", args.max_records, "must be at least 1", "300 gives intervals of about 0.05"
        )
    require_output_file(args.out, "--out")
    started = time.monotonic()
    lm = load_lm(args)
    records = read_records(lm, args.shards, args.split, args.max_records)
    evaluation = Evaluation(lm, records, seed=args.seed)
    if too_long := len(records) - len(evaluation.fitting_records):
        print(
            f"warning: {too_long} of {len(records)} records have more than {evaluation.max_tokens:,} "
            "tokens: cut for the loss, left out of the rest",
            file=sys.stderr,
        )
    results = evaluate(evaluation, tasks, asked=args.tasks is not None)
    about = {
        "checkpoint": str(args.checkpoint),
        "shards": str(args.shards),
        "split": args.split,
        "records": len(records),
        "too_long": too_long,
        "seed": args.seed,
    }
    tasks_json = {name: to_json(result) for name, result in results.items()}
    write_json(args.out, {**about, "wall_seconds": round(time.monotonic() - started, 1), "tasks": tasks_json})
    for name, result in results.items():
        print(f"{name}: {summarize(result)}")
    return 0


def evaluate(evaluation: Evaluation, tasks: list[str], asked: bool) -> dict[str, Result]:
    """Results by task, in order. asked: the user named them (see `measure`)."""
    results = {}
    with Progress("eval", len(tasks), "task") as progress:
        for name in tasks:
            results[name] = measure(TASKS[name], evaluation, asked)
            progress.advance(note=f"{name} {summarize(results[name])}")
    return results
