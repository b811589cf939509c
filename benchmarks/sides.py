"""Runs the sides of a benchmark in turn, each in a fresh process while no other side runs.

Our side is set up as our commands set it up (`spirit_jax.core.process_setup`: glibc keeps freed memory, in
huge pages). A peer runs as it comes, and once more with that setting, which shows how much of a ratio is due
to the allocator. The sides do not share a process, since they would share threads and heap. They do not wait
in idle processes either: one that holds memory makes a peer wait up to three times as long for pages of the
kernel.
"""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

from spirit_jax.core import process_setup

THREADS = 2  # of each side, where no accelerator does the work
Runs = dict[str, Callable[[], Any]]

_runs: Runs = {}  # the functions of the side that this process runs


class Side(NamedTuple):
    """name: in the figures. prepare: sets up its process. make: makes its functions there from `args`; each
    must have run once, so that compilation does not count.
    """

    name: str
    prepare: Callable[[], None]
    make: Callable[..., Runs]
    args: Sequence[Any] = ()


def peers(name: str, make: Callable[..., Runs], args: Sequence[Any] = ()) -> list[Side]:
    """A peer as it comes, and with our setting of the allocator."""
    return [
        Side(name, as_it_comes, make, args),
        Side(f"{name}_tuned", process_setup.set_up_heap, make, args),
    ]


def ours(make: Callable[..., Runs], args: Sequence[Any] = ()) -> Side:
    """Our side, set up as our commands set it up."""
    return Side("ours", process_setup.set_up, make, args)


def as_it_comes() -> None:
    """Sets nothing."""


def warmed(run: Callable[[], Any]) -> Runs:
    """One function, called once."""
    run()
    return {"": run}


def best_of(rounds: int, *functions: Callable[[], Any]) -> tuple[list[float], list[Any]]:
    """The shortest seconds of each function over rounds in turn, in this process, and its last values."""
    times, values = [[] for _ in functions], [None] * len(functions)
    for _ in range(rounds):
        for i, function in enumerate(functions):
            start = time.perf_counter()
            values[i] = function()
            times[i].append(time.perf_counter() - start)
    return [min(spent) for spent in times], values


def race(sides: Sequence[Side], rounds: int, turns: int = 2) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Wall seconds of every function in `turns` turns of `rounds` rounds, and the value of its first call.

    Keys are `side` or `side_function`.
    """
    spent: dict[str, list[float]] = {}
    returned: dict[str, Any] = {}
    spawn = multiprocessing.get_context("spawn")
    for side in turns * list(sides):
        with ProcessPoolExecutor(1, spawn, _begin, (side.prepare, side.make, side.args)) as process:
            for function in process.submit(_names).result():
                name = f"{side.name}_{function}" if function else side.name
                seconds, value = process.submit(_time, function, rounds).result()
                spent.setdefault(name, []).extend(seconds)
                returned.setdefault(name, value)
                print(f"{name}: {min(seconds):.4g} s", file=sys.stderr, flush=True)
    return spent, returned


def _begin(prepare: Callable[[], None], make: Callable[..., Runs], args: Sequence[Any]) -> None:
    if not process_setup.has_plugin():
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    process_setup.leave_out_idle_libtpu()
    prepare()
    _runs.update(make(*args))


def _names() -> list[str]:
    return list(_runs)


def _time(name: str, rounds: int) -> tuple[list[float], Any]:
    spent, first = [], None
    for i in range(rounds):
        start = time.perf_counter()
        value = _runs[name]()
        spent.append(time.perf_counter() - start)
        first = value if i == 0 else first
    return spent, first
