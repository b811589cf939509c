"""`python -m spirit_jax check-pod`: does a recipe's step fit its pod, and what bounds its speed?

It needs no pod, but the compiler of requirements-pod.txt.

python -m spirit_jax check-pod tpu_configs/pods/spirit_base_7b_v5e_256.py --set model.remat=full
python -m spirit_jax check-pod tpu_configs/pods/spirit_base_7b_v5e_256.py --estimate
python -m spirit_jax check-pod tpu_configs/pods/*_7b_*.py --given docs/pods.jsonl --record new.jsonl
python -m spirit_jax check-pod --tabulate docs/pods.jsonl
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from spirit_jax.config import RunConfig
from spirit_jax.core.chips import GIB
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_jsonl
from spirit_jax.core.settings import load, override
from spirit_jax.pod_check.pod import HBM_SHARE

ABSENT = {  # for libtpu on a machine without TPUs
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("recipes", nargs="*", type=Path, help="recipes that name their mesh.topology")
    parser.add_argument(
        "--set",
        nargs="*",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="changes to each: model.remat=full",
    )
    parser.add_argument("--estimate", action="store_true", help="by arithmetic alone: compile nothing")
    parser.add_argument(
        "--given",
        type=Path,
        help="JSON-lines file with rows of these recipes: compute again what follows from them",
    )
    parser.add_argument("--record", type=Path, help="JSON-lines file to which the rows are added")
    parser.add_argument(
        "--tabulate", type=Path, help="print such a file as Markdown tables, and check nothing"
    )


def run(args: argparse.Namespace) -> int:
    """Checks each recipe; returns 1 if one doesn't fit."""
    if args.tabulate:
        rows = list(read_jsonl(args.tabulate))
        print(f"{tabulate(rows)}\n\n{tabulate_generation(rows)}")
        return 0
    if not args.recipes:
        raise UserError("recipes", "none", "at least one is needed", "name files of tpu_configs/")
    chosen = [(path.stem, override(load(path, RunConfig), args.set)) for path in args.recipes]
    given = {} if args.given is None else {row["recipe"]: row for row in read_jsonl(args.given)}
    if args.given and not {name for name, _ in chosen} <= given.keys():
        raise UserError(
            "given",
            args.given,
            f"must have rows of {', '.join(name for name, _ in chosen)}",
            "compile those that are missing",
        )
    os.environ.update(ABSENT)
    from spirit_jax.pod_check.check import check  # imports jax, which reads the environment

    fits = True
    for name, recipe in chosen:
        print(
            f"{name}: {'estimating' if args.estimate or given else 'compiling, a few minutes'}",
            file=sys.stderr,
            flush=True,
        )
        row = check(recipe, name, args.estimate, given.get(name))
        print("\n".join(f"  {what:26s} {value}" for what, value in describe(row)))
        print(json.dumps(row), flush=True)
        if args.record:
            with open(args.record, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        fits = fits and row["fits"]
    return 0 if fits else 1


def describe(row: dict[str, Any]) -> list[tuple[str, str]]:
    """A row's figures as (name, text)."""
    share = row["peak_bytes"] / row["hbm_bytes"]
    lines = [
        (
            "mesh",
            " × ".join(f"{name} {size}" for name, size in row["mesh"].items())
            + f" on {row['slices']} × {row['topology']}",
        ),
        ("remat", row["remat"]),
        ("gradients summed in", row["reduce_dtype"]),
        (
            "tokens a step",
            f"{row['tokens']:,}: {row['rows']} rows × {row['length']}, {row['accumulate']} parts",
        ),
        (
            "peak memory",
            f"{row['peak_bytes'] / GIB:.2f} GiB of {row['hbm_bytes'] / GIB:.2f}, "
            f"{share:.0%} (by {row['memory_by']})",
        ),
    ]
    for kind, name in (("argument", "arguments"), ("temporary", "temporaries")):
        if f"{kind}_bytes" in row:
            lines.append((f"  {name}", f"{row[f'{kind}_bytes'] / GIB:.2f} GiB"))
    lines += [
        (
            kind,
            f"{found['count']:,} a step, {found['bytes'] / GIB:.2f} GiB a device, "
            f"{found['waited'] / GIB:.2f} waited for",
        )
        for kind, found in row.get("collectives", {}).items()
    ]
    return [*lines, *_describe_speed(row)]


def _describe_speed(row: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [
        ("model work", f"{row['model_flops']:.4g} operations a step"),
        ("hardware work", f"{row['hardware_flops']:.4g} operations a step, an estimate"),
        (
            "roofline, an estimate",
            ", ".join(f"{name} {value:.3f} s" for name, value in row["roofline_seconds"].items())
            + f" (network by {row['network_by']})",
        ),
        ("MFU ceiling", f"{row['mfu_ceiling']:.1%}, an estimate"),
    ]
    if "compile_seconds" in row:
        lines.append(("compiled in", f"{row['compile_seconds']} s"))
    lines += [(f"generates on {one['machine']}", _describe_generation(one)) for one in row["generation"]]
    return [*lines, ("fits", f"{row['fits']}: at most {HBM_SHARE:.0%} of memory")]


def _describe_generation(one: dict[str, Any]) -> str:
    says = (
        f"{'yes' if one['fits'] else 'no'}: {one['rows']} × {one['prompt']:,} tokens, tensor={one['tensor']}"
    )
    return f"{says}, {one['peak_bytes'] / GIB:.1f} GiB of {one['hbm_bytes'] / GIB:.1f} (by analysis)"


def tabulate_generation(rows: list[dict[str, Any]]) -> str:
    """A Markdown table of the machines on which the recipes' models generate; equal models share a line."""
    titles = "recipes|machine|tensor|rows|weights GiB|cache GiB|workspace GiB|sum|of|share|fits"
    lines: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        for one in row["generation"]:
            parts = [one[f"{part}_bytes"] for part in ("weight", "cache", "workspace", "peak", "hbm")]
            cells = (
                one["machine"],
                str(one["tensor"]),
                str(one["rows"]),
                *(f"{part / GIB:.1f}" for part in parts),
                f"{one['peak_bytes'] / one['hbm_bytes']:.0%}",
                "yes" if one["fits"] else "**no**",
            )
            lines.setdefault(cells, []).append(row["recipe"])
    table = [titles.split("|"), ["---"] * (titles.count("|") + 1)]
    table += [[_common(names), *cells] for cells, names in sorted(lines.items(), key=lambda line: line[1])]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in table)


def _common(names: list[str]) -> str:
    """`spirit_base_7b_*` for recipes of one model, the name for a single one."""
    start = os.path.commonprefix(sorted(set(names)))
    return start if len(set(names)) == 1 else f"{start}*"


def tabulate(rows: list[dict[str, Any]]) -> str:
    """A Markdown table of the last row of each recipe, mesh and policy."""
    titles = (
        "recipe|pod|mesh data, fsdp, context, tensor|remat|parts|peak "
        "GiB|of|share|fits|memory by|roofline s|MFU ceiling|compile s|date"
    )
    table = [titles.split("|"), ["---"] * (titles.count("|") + 1)]
    newest = {(row["recipe"], str(row["mesh"]), row["remat"], row["accumulate"]): row for row in rows}
    for row in sorted(newest.values(), key=lambda row: (row["recipe"], row["peak_bytes"])):
        table.append(
            [
                row["recipe"],
                f"{row['slices']} × {row['topology']}" if row["slices"] > 1 else row["topology"],
                ", ".join(map(str, row["mesh"].values())),
                row["remat"],
                str(row["accumulate"]),
                f"{row['peak_bytes'] / GIB:.1f}",
                f"{row['hbm_bytes'] / GIB:.1f}",
                f"{row['peak_bytes'] / row['hbm_bytes']:.0%}",
                "yes" if row["fits"] else "**no**",
                row["memory_by"],
                f"{max(row['roofline_seconds'].values()):.2f}",
                f"{row['mfu_ceiling']:.0%}",
                f"{row.get('compile_seconds', '')}",
                row["date"],
            ]
        )
    return "\n".join("| " + " | ".join(cells) + " |" for cells in table)
