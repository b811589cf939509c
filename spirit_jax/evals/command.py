"""`python -m spirit_jax eval`: tasks on held-out shards, and benchmarks on data sets that a user brings.

python -m spirit_jax eval loss choice transcription --checkpoint runs/demo --shards shards --out eval.json
python -m spirit_jax eval swuggy sblimp mmlu --checkpoint runs/demo --data benchmarks --out eval.json
"""

import argparse
import importlib.metadata
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import spirit_jax
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_output_file, write_json
from spirit_jax.core.progress import Progress
from spirit_jax.evals.benchmarks import BENCHMARKS
from spirit_jax.evals.evaluation import Evaluation, read_records
from spirit_jax.evals.registry import GROUPS, HELD_OUT, TASKS, expand
from spirit_jax.evals.results import summarize, to_json, write_scores
from spirit_jax.evals.task import Result, measure
from spirit_jax.generation.spirit_lm import SpiritLM
from spirit_jax.tokens.interleave import Record

DEFAULT_TASKS = ("loss", "choice", "transcription")
SHARDS_SPLIT, DATA_SPLIT = "heldout", "dev"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument(
        "task",
        nargs="*",
        metavar="TASK",
        help=f"any of {', '.join([*GROUPS, *TASKS])} (default: {', '.join(DEFAULT_TASKS)}, without those "
        "whose prompts the model was not trained on)",
    )
    parser.add_argument("--tasks", help="the same, separated by commas")
    parser.add_argument(
        "--checkpoint",
        required=True,
        help="run folder, one of its step folders, or a folder of converted weights",
    )
    parser.add_argument("--shards", help="folder of aligned shards, for loss, choice and transcription")
    parser.add_argument("--data", type=Path, help="folder of data sets, for all other tasks")
    parser.add_argument(
        "--split", help=f"default: {SHARDS_SPLIT} of shards, {DATA_SPLIT} of ZeroSpeech's data"
    )
    parser.add_argument(
        "--max-records",
        type=int,
        default=300,
        help="how many records of the shards' split are used, counted from the first",
    )
    parser.add_argument("--seed", type=int, default=0, help="of distractors, spans and bootstrap")
    parser.add_argument(
        "--out", type=Path, required=True, help="JSON file; scores of trials go to a folder next to it"
    )


def run(args: argparse.Namespace) -> int:
    """Writes the results as each task finishes, and prints a line for each task."""
    named = [*args.task, *(args.tasks.split(",") if args.tasks else [])]
    tasks = expand(named or list(DEFAULT_TASKS))
    _check(args, tasks)
    started = time.monotonic()
    lm = SpiritLM.load(args.checkpoint)
    records = (
        read_records(lm, args.shards, args.split or SHARDS_SPLIT, args.max_records) if args.shards else []
    )
    evaluation = Evaluation(lm, records, seed=args.seed, data=args.data, split=args.split or DATA_SPLIT)
    about = _describe(args, evaluation)

    def keep(results: dict[str, Result]) -> None:
        tasks_json = {name: to_json(result) for name, result in results.items()}
        unfinished = [name for name in tasks if name not in results]
        spent = {"wall_seconds": round(time.monotonic() - started, 1), "unfinished": unfinished}
        write_json(args.out, {**about, **spent, "tasks": tasks_json})

    results = evaluate(evaluation, tasks, bool(named), args.out.with_name(f"{args.out.stem}_scores"), keep)
    for name, result in results.items():
        print(f"{name}: {summarize(result)}")
    return 0


def evaluate(
    evaluation: Evaluation,
    tasks: list[str],
    asked: bool,
    scores: Path,
    keep: Callable[[dict[str, Result]], None],
) -> dict[str, Result]:
    """Results by task, in order.

    asked: the user named them (see `measure`). scores: a folder for the scores of trials. keep: called with
    all results so far after each task.
    """
    results = {}
    with Progress("eval", len(tasks), "task") as progress:
        for name in tasks:
            results[name] = measure(TASKS[name], evaluation, asked)
            for warning in write_scores(scores, name, results[name]):
                print(f"warning: {warning}", file=sys.stderr)
            keep(results)
            progress.advance(note=f"{name} {summarize(results[name])}")
    return results


def _check(args: argparse.Namespace, tasks: list[str]) -> None:
    """UserError for a mistake that can be found before the model is loaded."""
    if args.max_records < 1:
        raise UserError(
            "--max-records", args.max_records, "must be at least 1", "300 gives intervals of about 0.05"
        )
    require_output_file(args.out, "--out")
    held_out = [name for name in tasks if name in HELD_OUT]
    if held_out and not args.shards:
        fix = "give --shards FOLDER, or name tasks of data sets"
        raise UserError("--shards", None, f"{held_out[0]} is measured on held-out shards", fix)
    for name in tasks:
        if name not in BENCHMARKS:
            continue
        if args.data is None:
            shape = BENCHMARKS[name].layout.place.shape
            raise UserError(
                "--data", None, f"{name} is measured on a data set", f"give a folder with {shape}"
            )
        BENCHMARKS[name].layout.read(args.data, args.split or DATA_SPLIT)


def _describe(args: argparse.Namespace, evaluation: Evaluation) -> dict:
    """What the results depend on, besides the data set of each task."""
    records: list[Record] = list(evaluation.records)
    if too_long := len(records) - len(evaluation.fitting_records):
        print(
            f"warning: {too_long} of {len(records)} records have more than {evaluation.max_tokens:,} "
            "tokens: cut for the loss, left out of the rest",
            file=sys.stderr,
        )
    versions = {name: importlib.metadata.version(name) for name in ("jax", "numpy")}
    about = {
        "checkpoint": str(args.checkpoint),
        "seed": args.seed,
        "max_tokens": evaluation.max_tokens,
        "versions": {"spirit_jax": spirit_jax.__version__, "python": platform.python_version(), **versions},
    }
    if not args.shards:
        return about
    shards = {"shards": str(args.shards), "split": args.split or SHARDS_SPLIT}
    return {**about, **shards, "records": len(records), "too_long": too_long}
