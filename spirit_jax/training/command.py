"""`python -m spirit_jax train`: prints what it will do, then trains. The same command resumes a stopped run.

python -m spirit_jax train --config tpu_configs/local/tiny_cpu.py --out runs/tiny --set train.steps=200

Exit codes:
- 0: the last step is done.
- 0, or that of `--stopped-exit-code`: SIGTERM or a preemption stopped it, and the state is saved.
- that of `--stopped-exit-code`, if set: other machines were lost; the traceback is printed, and the last
  checkpoint is there.
- 1: training can't continue by itself (it diverged, or checkpoints can't be written); one line says why.
- 2: a mistake found before it began.
"""

import argparse
import sys
import traceback

import jax

from spirit_jax.config import RunConfig, resolve_paths
from spirit_jax.core.process_setup import check_profiler
from spirit_jax.core.settings import load, override
from spirit_jax.model_io.hf_tokenizer import warn_of_export
from spirit_jax.runs.processes import join_processes
from spirit_jax.runs.profiling import parse_steps
from spirit_jax.training.loop import train
from spirit_jax.training.preparation import describe, prepare

# statuses of a runtime that lost its peers or its network
LOST = ("ABORTED", "CANCELLED", "DEADLINE_EXCEEDED", "UNAVAILABLE")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("--config", required=True, help="a recipe (.py with config()) or a config.json")
    parser.add_argument(
        "--out", required=True, help="run folder, or gs://BUCKET/NAME; an unfinished run in it is resumed"
    )
    parser.add_argument("--root", default=".", help="folder from which the config's relative paths are taken")
    parser.add_argument(
        "--set",
        nargs="*",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="changes to the config: optim.peak_lr=3e-5",
    )
    parser.add_argument(
        "--profile", metavar="FIRST:LAST", help="trace these steps into the run folder's profile/"
    )
    parser.add_argument(
        "--distributed", action="store_true", help="one of several processes: see docs/training.md"
    )
    parser.add_argument(
        "--stopped-exit-code",
        default=0,
        type=int,
        help="when SIGTERM or lost peers stopped it; for launchers that start it again",
    )


def run(args: argparse.Namespace) -> int:
    """Checks, prints what it will do, trains; returns the exit code."""
    profile = None
    if args.profile is not None:
        profile = parse_steps(args.profile)
        check_profiler()
    if args.distributed:
        join_processes()
    chosen = resolve_paths(override(load(args.config, RunConfig), args.set), args.root)
    run = prepare(chosen, args.out)
    if jax.process_index() == 0:
        print(describe(run), flush=True)
        warn_of_export(run.data.tokenizer, run.out)
    try:
        reached = train(run, profile)
    except jax.errors.JaxRuntimeError as error:
        if not args.stopped_exit_code or not str(error).startswith(LOST):
            raise
        traceback.print_exc()
        return args.stopped_exit_code
    stopped = reached < run.config.train.steps
    step = f"step {reached:,} of {run.config.train.steps:,}"
    said = f"stopped at {step}; the same command resumes it" if stopped else f"done at {step}"
    print(f"{said}: {args.out}", file=sys.stderr)
    return args.stopped_exit_code if stopped else 0
