"""Collectives of a compiled program, by kind: how often they run and how many bytes they give, from the text of its HLO.

A collective in a loop's body counts as often as the loop turns. TPU programs write a reduce-scatter as an all-reduce and a slice inside one
fusion named all-reduce-scatter, and asynchronous collectives as fusions whose body is the collective: both are counted as what they do.
"""

import collections
import math
import re

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
WIDTHS = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2, "s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8, "f64": 8}
HEADER = re.compile(r"^(?:ENTRY )?%?([\w.-]+) \(.*\{$")
INSTRUCTION = re.compile(r"^(?:ROOT )?%?([\w.-]+) = (.*?) ([a-z][\w-]*)\((.*)$")
CALLED = re.compile(r"(?:calls|body|to_apply|branch_computations|called_computations)=\{?(%[\w.-]+(?:, %[\w.-]+)*)")
TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
ARRAY = re.compile(r"\b([a-z]+\d*)\[([\d,]*)\]")


def collectives(text: str) -> dict[str, dict[str, int]]:
    """Kind -> {"count", "bytes"} on one device in one run of the program.

    Bytes are those of the whole array: what an all-gather gives, what a reduce-scatter takes.
    """
    computations, entry = _computations(text)
    totals: dict[str, dict[str, int]] = collections.defaultdict(lambda: {"count": 0, "bytes": 0})

    def visit(name: str, times: int, scattered: bool = False) -> None:
        for shape, operation, rest in computations.get(name, []):
            if kind := next((kind for kind in KINDS if operation in (kind, f"{kind}-start")), None):
                parts = _group(rest) if kind == "reduce-scatter" else 1
                row = totals["reduce-scatter" if scattered else kind]
                row["count"] += times
                row["bytes"] += times * parts * _bytes(shape, operation)
                continue
            turns = int(found.group(1)) if operation == "while" and (found := TRIPS.search(rest)) else 1
            for group in CALLED.findall(rest):
                for called in group.split(", "):
                    visit(called[1:], times * turns, scattered or called.startswith("%all-reduce-scatter"))

    visit(entry, 1)
    return {kind: totals[kind] for kind in KINDS if kind in totals}


def _group(rest: str) -> int:
    """Devices that a collective joins, from `replica_groups={{0,1},..}` or `replica_groups=[groups,size]<=..`."""
    if found := re.search(r"replica_groups=\{\{([\d,]+)\}", rest):
        return found.group(1).count(",") + 1
    found = re.search(r"replica_groups=\[\d+,(\d+)\]", rest)
    return int(found.group(1)) if found else 1


def _computations(text: str) -> tuple[dict[str, list[tuple[str, str, str]]], str]:
    """Name -> instructions as (shape, operation, the rest of the line); and the name of the entry."""
    computations: dict[str, list[tuple[str, str, str]]] = {}
    entry = current = ""
    for line in text.splitlines():
        line = line.strip()
        if header := HEADER.match(line):
            current = header.group(1)
            computations[current] = []
            entry = current if line.startswith("ENTRY") else entry
        elif found := INSTRUCTION.match(line):
            computations[current].append(found.group(2, 3, 4))
    return computations, entry


def _bytes(shape: str, operation: str) -> int:
    """Bytes of a result. The start of an asynchronous collective carries its operands too: the larger half is the result."""
    sizes = [WIDTHS.get(kind, 4) * math.prod(map(int, filter(None, sides.split(",")))) for kind, sides in ARRAY.findall(shape)]
    if not operation.endswith("-start"):
        return sum(sizes)
    return max(sum(sizes[: len(sizes) // 2]), sum(sizes[len(sizes) // 2 :])) if len(sizes) > 1 else sum(sizes)
