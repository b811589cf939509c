"""`python -m spirit_jax plot-alignment`: the alignment probe of several checkpoints as curves in one picture.

python -m spirit_jax plot-alignment before.json after.json --out alignment.svg
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_output_file, write_atomically
from spirit_jax.evals.results import read_results
from spirit_jax.evals.task import Result

TASK = "alignment"
SUFFIXES = (".svg", ".png", ".pdf")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument(
        "results", nargs="+", type=Path, metavar="EVAL.json", help="what eval alignment wrote"
    )
    parser.add_argument("--out", type=Path, required=True, help=f"a picture: {', '.join(SUFFIXES)}")


def run(args: argparse.Namespace) -> int:
    """Draws a pair of curves for each file, named after it."""
    require_output_file(args.out, "--out")
    if args.out.suffix.lower() not in SUFFIXES:
        raise UserError("--out", args.out, f"must end in {', '.join(SUFFIXES)}", "rename it")
    found = {}
    for path in args.results:
        result = read_results(path).get(TASK)
        if result is None or "same" not in result.details:
            rule, fix = f"has no result of {TASK}", f"run eval {TASK} on that checkpoint"
            raise UserError("evaluation", path, rule, fix)
        found[path.stem if path.stem not in found else str(path)] = result
    with write_atomically(args.out) as partial, mpl.rc_context({"svg.hashsalt": "alignment"}):
        draw_alignment(found).savefig(partial, format=args.out.suffix[1:], metadata={})
    print(args.out)
    return 0


def draw_alignment(results: Mapping[str, Result]) -> Figure:
    """Cosines over layers by name: of the same word solid, of another word dashed."""
    figure = Figure((8.0, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for number, (name, result) in enumerate(results.items()):
        colour = f"C{number}"
        axes.plot(result.details["same"], color=colour, marker=".", label=name)
        axes.plot(result.details["other"], color=colour, linestyle="--", linewidth=1)
    axes.set(xlabel="layer (0: embedding)", ylabel="cosine, speech and text (dashed: another word)")
    axes.legend(frameon=False)
    return figure
