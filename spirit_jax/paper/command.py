"""`python -m spirit_jax paper`: the paper's ablations in small, and one page about them.

python -m spirit_jax paper --config tpu_configs/paper/small_cpu.py --root runs/paper --page docs/paper.md

`make paper-in-small` prepares the root. The same command continues an interrupted one.
"""

import argparse
import shlex
from pathlib import Path

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_folder, require_output_file, write_text
from spirit_jax.core.settings import load, override
from spirit_jax.paper import figures
from spirit_jax.paper.arm_runs import ArmRun, make_run, plan_runs
from spirit_jax.paper.experiment import Experiment
from spirit_jax.paper.page import LEAST_POINTS, share_points, write_page
from spirit_jax.paper.results import read_arms

REMARKS = "remarks.md"  # in the folder of the figures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("--config", required=True, help="a recipe (.py with config()) of an Experiment")
    parser.add_argument(
        "--root", type=Path, required=True, help="folder with the corpus, shards and first weights"
    )
    parser.add_argument(
        "--page", type=Path, required=True, help="Markdown file; figures go to a folder of its name"
    )
    parser.add_argument("--arms", nargs="+", default=[], help="only these arms")
    parser.add_argument(
        "--set",
        nargs="*",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="changes to the experiment: seeds=[0] run.train.steps=100",
    )


def run(args: argparse.Namespace) -> int:
    """Makes what is not finished, and the page again whenever all arms have one more seed."""
    require_output_file(args.page, "--page")
    if args.page.suffix != ".md":
        raise UserError("--page", args.page, "must end in .md", "rename it")
    root = require_folder(args.root, "--root")
    experiment = override(load(args.config, Experiment), args.set)
    arms = experiment.choose(args.arms)
    runs = plan_runs(experiment, arms, root)
    for number, one in enumerate(runs):
        if not one.finished:
            print(f"{one.folder.name}: {number + 1} of {len(runs)}", flush=True)
            make_run(experiment, one, root)
        if (number + 1) % len(arms) == 0:
            _publish(experiment, runs, root, args)
    print(args.page)
    return 0


def _publish(experiment: Experiment, runs: list[ArmRun], root: Path, args: argparse.Namespace) -> None:
    """Writes the page and its figures from the runs that are finished."""
    arms = read_arms(runs)
    folder = args.page.with_suffix("")
    remarks = folder / REMARKS
    words = ["--config", args.config, "--root", str(args.root), "--page", str(args.page)]
    words += ["--arms", *args.arms] if args.arms else []
    words += ["--set", *args.set] if args.set else []
    tabled = {name: one for name, one in arms.items() if one.arm.tabled}
    figures.write_figure(figures.draw_choices(tabled), folder / "choice.svg")
    figures.write_figure(figures.draw_probes(tabled), folder / "alignment.svg")
    if len(points := share_points(arms)) >= LEAST_POINTS:
        figures.write_figure(figures.draw_shares(points), folder / "aligned.svg")
    page = write_page(
        experiment,
        arms,
        root / "corpus" / "manifest.jsonl",
        f".venv/bin/python -m spirit_jax paper {shlex.join(words)}",
        folder.name,
        remarks.read_text() if remarks.is_file() else "",
    )
    write_text(args.page, page)
