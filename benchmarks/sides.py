"""The sides of a benchmark in turn, each in a process of its own with the machine to itself, as those run it
who use it.

Ours is set up as by our commands (`spirit_jax.core.process_setup`: glibc keeps what is freed). A peer runs as
it comes; and once more with that setting, which is no part of it, so that the reader sees how much of a ratio
is the allocator's. One process for both sides would share its threads and its heap; another that merely lives
beside it, holding memory, makes a peer wait up to three times as long for pages of the kernel.
"""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

from spirit_jax.core import process_setup as backends

THREADS = 2  # of each side, where no accelerator does the work
Runs = dict[str, Callable[[], Any]]

_runs: Runs = {}  # of this process, if it is a side's


class Side(NamedTuple):
    """Whose it is, what prepares its process, and what makes its functions there, each called once by its
    maker, so that it is warm.
    """

    name: str
    prepare: Callable[[], None]
    make: Callable[..., Runs]
    args: Sequence[Any] = ()


def peers(name: str, make: Callable[..., Runs], args: Sequence[Any] = ()) -> list[Side]:
    """A peer as it comes and with our allocator's setting."""
    return [
        Side(name, as_it_comes, make, args),
        Side(f"{name}_tuned", backends.keep_freed_memory, make, args),
    ]


def ours(make: Callable[..., Runs], args: Sequence[Any] = ()) -> Side:
    """Our side, set up as by our commands."""
    return Side("ours", backends.set_up, make, args)


def as_it_comes() -> None:
    """Sets nothing."""


def warmed(run: Callable[[], Any]) -> Runs:
    """One function, called once."""
    run()
    return {"": run}


def race(sides: Sequence[Side], rounds: int, turns: int = 2) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Wall seconds of every function in so many turns of so many rounds, and what it returned first; names
    are `side` or `side_function`.
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
    if not backends.has_plugin():
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    backends.leave_out_idle_libtpu()
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
