"""`python -m spirit_jax train`: says what it will do, then trains. The same command again goes on where it stopped.

python -m spirit_jax train --config tpu_configs/tiny_cpu.py --out runs/tiny --set train.steps=200
"""

import argparse
import sys
from pathlib import Path

from spirit_jax import config
from spirit_jax.training.loop import describe, prepare, train


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("--config", required=True, help="a recipe (.py with config()) or a config.json")
    parser.add_argument("--out", required=True, type=Path, help="run folder; an unfinished run in it is resumed")
    parser.add_argument("--root", default=".", type=Path, help="folder from which the config's relative paths are taken")
    parser.add_argument("--stopped-exit-code", default=0, type=int, help="when SIGTERM stopped it; not 0 for a launcher that starts it again then")
    parser.add_argument("--set", nargs="*", action="extend", default=[], metavar="KEY=VALUE", help="changes to the config: optim.peak_lr=3e-5")


def run(args: argparse.Namespace) -> int:
    """Checks, tells, trains. Returns 0 when the last step is done, `--stopped-exit-code` when SIGTERM stopped it and its checkpoint is written."""
    chosen = config.resolve_paths(config.override(config.load(args.config), args.set), args.root)
    run = prepare(chosen, args.out)
    print(describe(run), flush=True)
    reached = train(run)
    steps = run.config.train.steps
    stopped = reached < steps
    said = "stopped at step {}; the same command goes on" if stopped else "done at step {}"
    print(f"{said.format(f'{reached:,} of {steps:,}')}: {args.out}", file=sys.stderr)
    return args.stopped_exit_code if stopped else 0
