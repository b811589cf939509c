"""`python -m spirit_jax eval`: tasks on held-out shards, and benchmarks on data sets that a user brings.

python -m spirit_jax eval loss choice transcription --checkpoint runs/demo --shards shards --out eval.json
python -m spirit_jax eval swuggy sblimp mmlu --checkpoint runs/demo --data benchmarks --out eval.json
"""

import argparse
import importlib.metadata
import importlib.util
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import spirit_jax
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_optional_json, require_file, require_output_file, write_json
from spirit_jax.core.progress import Progress
from spirit_jax.datasets.shards import Layout, open_shards
from spirit_jax.evals.benchmarks import DATA_SETS
from spirit_jax.evals.evaluation import Evaluation, read_records
from spirit_jax.evals.judges.judges import OPTIONS, Judges
from spirit_jax.evals.recordings import find_recordings
from spirit_jax.evals.registry import DEFAULT_TASKS, GROUPS, HELD_OUT, TASKS, expand
from spirit_jax.evals.results import read_results, summarize, to_json, write_scores
from spirit_jax.evals.results_tables import write_tables
from spirit_jax.evals.task import Result, measure
from spirit_jax.generation.model_options import add_model_arguments, load_lm
from spirit_jax.model.checkpoint import find_stored_model
from spirit_jax.tokens.interleave import Record

SHARDS_SPLIT, DATA_SPLIT = "heldout", "dev"
LIBRARIES = ("jax", "numpy", "jiwer", "whisper-normalizer")  # that figures depend on


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
    add_model_arguments(parser)
    parser.add_argument("--shards", help="folder of aligned shards, for loss, choice and transcription")
    parser.add_argument(
        "--manifest", type=Path, help="manifest of the shards' recordings, for ears_recording"
    )
    parser.add_argument("--data", type=Path, help="folder of data sets, for all other tasks")
    parser.add_argument("--asr", type=Path, help="folder of a Whisper model, which judges speech")
    for kind in ("text", "speech"):
        says = f"folder of a classifier, which judges the sentiment of {kind}"
        parser.add_argument(f"--{kind}-classifier", type=Path, help=says)
    parser.add_argument("--toxic-words", type=Path, help="file with a toxic phrase a line")
    parser.add_argument(
        "--toxicity-classifier", type=Path, help="folder of a text classifier with a label for toxic texts"
    )
    parser.add_argument(
        "--judge-lm", type=Path, help="folder of a language model, which judges what is generated"
    )
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
        "--out",
        type=Path,
        required=True,
        help="JSON file; scores of trials and tables of results go to a folder next to it",
    )


def run(args: argparse.Namespace) -> int:
    """Writes the results as each task finishes, and prints a line for each task.

    An evaluation that was interrupted continues with the task that it was at, if nothing that it depends on
    has changed.
    """
    named = [*args.task, *(args.tasks.split(",") if args.tasks else [])]
    tasks = expand(named or list(DEFAULT_TASKS))
    _check(args, tasks)
    prints, judges = _fingerprint_data(args, tasks), _judges(args)
    judges.load({judge for name in tasks for judge in TASKS[name].judges})
    started = time.monotonic()
    stored = find_stored_model(args.checkpoint)
    model = str(stored.weights if stored.tree else args.checkpoint)  # of a run, the folder of its last step
    lm = load_lm(model, args)
    records = (
        read_records(lm, args.shards, args.split or SHARDS_SPLIT, args.max_records) if args.shards else []
    )
    evaluation = Evaluation(
        lm,
        records,
        seed=args.seed,
        data=args.data,
        split=args.split or DATA_SPLIT,
        judges=judges,
        recordings=find_recordings(args.manifest, {one.id for one in records}) if args.manifest else {},
    )
    about = {**_describe(args, evaluation), "model": model, "data_fingerprints": prints}
    results = _continue(args.out, about, tasks)

    scores = args.out.with_name(f"{args.out.stem}_scores")

    def keep(name: str, result: Result) -> None:
        for warning in write_scores(scores, name, result):
            print(f"warning: {warning}", file=sys.stderr)
        results[name] = result
        tasks_json = {one: to_json(results[one]) for one in tasks if one in results}
        unfinished = [one for one in tasks if one not in results]
        spent = {"wall_seconds": round(time.monotonic() - started, 1), "unfinished": unfinished}
        write_json(args.out, {**about, **spent, "tasks": tasks_json})
        write_tables(scores, model, {one: results[one] for one in tasks if one in results})

    evaluate(evaluation, [name for name in tasks if name not in results], bool(named), keep)
    for name in tasks:
        print(f"{name}: {summarize(results[name])}")
    _require_measured({name: results[name] for name in tasks if named}, args.out)
    return 0


def evaluate(
    evaluation: Evaluation, tasks: list[str], asked: bool, keep: Callable[[str, Result], None]
) -> None:
    """Measures the tasks in order.

    asked: the user named them (see `measure`). keep: called with each result.
    """
    with Progress("eval", len(tasks), "task") as progress:
        for name in tasks:
            result = measure(TASKS[name], evaluation, asked)
            keep(name, result)
            progress.advance(note=f"{name} {summarize(result)}")


def _require_measured(results: dict[str, Result], out: Path) -> None:
    """UserError for a task whose items were all set aside."""
    for name, result in results.items():
        if not result.n and result.details.get("set_aside"):
            raise UserError(f"task {name}", result.extent, "needs an item that can be asked", f"see {out}")


def _continue(out: Path, about: dict, tasks: list[str]) -> dict[str, Result]:
    """Results of the same evaluation if it was interrupted, else none."""
    try:
        stored = read_optional_json(out)
    except UserError:
        return {}  # another file, to be replaced
    if not stored.get("unfinished") or any(stored.get(key) != value for key, value in about.items()):
        return {}
    results = {name: result for name, result in read_results(out).items() if name in tasks}
    print(f"note: {out} has {len(results)} of {len(tasks)} tasks; continuing", file=sys.stderr)
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
    if args.manifest:
        require_file(args.manifest, "--manifest")
    for name in tasks:
        if name in DATA_SETS and args.data is None:
            fix = f"give a folder with {DATA_SETS[name].place.shape}"
            raise UserError("--data", None, f"{name} is measured on a data set", fix)
        for judge in TASKS[name].judges:
            _judges(args).check(judge)


def _is_installed(library: str) -> bool:
    return importlib.util.find_spec(library.replace("-", "_")) is not None


def _judges(args: argparse.Namespace) -> Judges:
    return Judges(**{name: getattr(args, name) for name in OPTIONS})


def _fingerprint_data(args: argparse.Namespace, tasks: list[str]) -> dict[str, str]:
    """Fingerprints of the rows of the shards, and by task of what is asked. UserError for missing data."""
    prints = {
        name: DATA_SETS[name].fingerprint(args.data, args.split or DATA_SPLIT)
        for name in tasks
        if name in DATA_SETS
    }
    if args.shards:
        prints["shards"] = open_shards(args.shards, Layout.ALIGNED, args.split or SHARDS_SPLIT).fingerprint
    return prints


def _describe(args: argparse.Namespace, evaluation: Evaluation) -> dict:
    """What the results depend on, besides the weights and the data."""
    records: list[Record] = list(evaluation.records)
    if too_long := len(records) - len(evaluation.fitting_records):
        print(
            f"warning: {too_long} of {len(records)} records have more than {evaluation.max_tokens:,} "
            "tokens: cut for the loss, left out of the rest",
            file=sys.stderr,
        )
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES if _is_installed(name)}
    about = {
        "checkpoint": str(args.checkpoint),
        "seed": args.seed,
        "max_tokens": evaluation.max_tokens,
        "model_options": {name: getattr(args, name) for name in ("codec", "dtype", "int8", "mesh")},
        "judges": {name: str(folder) for name, folder in vars(_judges(args)).items() if folder},
        "versions": {"spirit_jax": spirit_jax.__version__, "python": platform.python_version(), **versions},
    }
    if not args.shards:
        return about
    shards = {"shards": str(args.shards), "split": args.split or SHARDS_SPLIT}
    shards |= {"manifest": str(args.manifest)} if args.manifest else {}
    return {**about, **shards, "records": len(records), "too_long": too_long}
