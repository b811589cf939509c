"""Collectives of a compiled program, by kind: how often they run and how many bytes they give, from the text
of its HLO.

A collective in a loop's body counts as often as the loop turns. TPU programs write a reduce-scatter as an
all-reduce and a slice inside one fusion named all-reduce-scatter, and an asynchronous collective as several
fusions, its steps, with one channel: both are counted as what they do. Slices send to each other ("send"). A
gather that is written as an all-reduce of zeros and one part counts as the all-reduce that it is.
"""

import collections
import math
import re

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", "send")
WIDTHS = {
    "pred": 1,
    "s8": 1,
    "u8": 1,
    "bf16": 2,
    "f16": 2,
    "s16": 2,
    "u16": 2,
    "s32": 4,
    "u32": 4,
    "f32": 4,
    "s64": 8,
    "u64": 8,
    "f64": 8,
}
HEADER = re.compile(r"^(?:ENTRY )?%?([\w.-]+) \(.*\{$")
INSTRUCTION = re.compile(r"^(?:ROOT )?%?([\w.-]+) = (.*?) ([a-z][\w-]*)\((.*)$")
CALLED = re.compile(
    r"(?:calls|body|to_apply|branch_computations|called_computations)=\{?(%[\w.-]+(?:, %[\w.-]+)*)"
)
CHANNEL = re.compile(r"channel_id=(\d+)")
ARRAY = re.compile(r"\b([a-z]+\d*)\[([\d,]*)\]")


def collectives(text: str) -> dict[str, dict[str, int]]:
    """Kind -> {"count", "bytes", "waited"} on one device in one run of the program.

    Bytes are those of the whole array: what an all-gather gives, what a reduce-scatter takes. "waited": of
    the bytes, those of collectives that aren't asynchronous, during which the device does nothing else.
    """
    computations, entry = _computations(text)
    totals: dict[str, dict[str, int]] = collections.defaultdict(lambda: {"count": 0, "bytes": 0, "waited": 0})
    seen = set()

    def visit(name: str, times: int, home: str, scattered: bool = False) -> None:
        """`home`: the computation that runs it, where `name` is a fusion in it."""
        fused = name != home
        for shape, operation, rest in computations.get(name, []):
            if kind := next((kind for kind in KINDS if operation in (kind, f"{kind}-start")), None):
                channel = CHANNEL.search(rest)
                if fused and not scattered and channel:
                    if (home, channel.group(1)) in seen:
                        continue
                    seen.add((home, channel.group(1)))
                parts = _group(rest) if kind == "reduce-scatter" else 1
                row = totals["reduce-scatter" if scattered else kind]
                size = times * parts * _bytes(shape, operation)
                row["count"] += times
                row["bytes"] += size
                row["waited"] += (
                    0 if kind == "send" or operation.endswith("-start") or fused and not scattered else size
                )
                continue
            turns = _turns(rest, computations) if operation == "while" else 1
            for group in CALLED.findall(rest):
                for called in group.split(", "):
                    inner = home if operation == "fusion" else called[1:]
                    visit(called[1:], times * turns, inner, called.startswith("%all-reduce-scatter"))

    visit(entry, 1, entry)
    return {kind: totals[kind] for kind in KINDS if kind in totals}


def _turns(rest: str, computations: dict[str, list[tuple[str, str, str]]]) -> int:
    """How often a loop turns: as annotated, or the number that its condition compares with."""
    if found := re.search(r'"known_trip_count":\{"n":"(\d+)"', rest):
        return int(found.group(1))
    condition = re.search(r"condition=%([\w.-]+)", rest)
    lines = computations.get(condition.group(1), []) if condition else []
    bounds = [
        int(operand.split(")")[0])
        for shape, operation, operand in lines
        if operation == "constant" and shape.startswith("s32[]")
    ]
    return max(bounds, default=1)


def _group(rest: str) -> int:
    """Devices that a collective joins: `replica_groups={{0,1},..}`, `replica_groups=[groups,size]<=..` or
    `replica_groups=mesh['a'=16,'b'=4] {'a'}`.
    """
    if found := re.search(r"replica_groups=\{\{([\d,]+)\}", rest):
        return found.group(1).count(",") + 1
    if found := re.search(r"replica_groups=\[\d+,(\d+)\]", rest):
        return int(found.group(1))
    found = re.search(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}", rest)
    sizes = dict(part.split("=") for part in found.group(1).split(",")) if found else {}
    return math.prod(int(sizes[axis.strip()]) for axis in found.group(2).split(",")) if found else 1


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
    """Bytes of a result. The start of an asynchronous collective carries its operands too: the larger half is
    the result.
    """
    sizes = [
        WIDTHS.get(kind, 4) * math.prod(map(int, filter(None, sides.split(","))))
        for kind, sides in ARRAY.findall(shape)
    ]
    if operation == "send":
        return sizes[0]  # the other entries: an integer and a token
    if not operation.endswith("-start"):
        return sum(sizes)
    return max(sum(sizes[: len(sizes) // 2]), sum(sizes[len(sizes) // 2 :])) if len(sizes) > 1 else sum(sizes)
