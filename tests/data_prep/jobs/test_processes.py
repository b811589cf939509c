"""Work on rows in several processes: in order, a few items ahead, and an end in one line where one dies."""

import contextlib
import os

import pytest

from data_prep.jobs.processes import AHEAD, CHUNK, Processes
from spirit_jax.core.errors import Halted


def double(number: int) -> int:
    return 2 * number


def die(_: int) -> None:
    os._exit(9)


def test_results_come_in_order_and_items_are_taken_a_few_ahead():
    taken = []

    def items():
        for number in range(60):
            taken.append(number)
            yield number

    with contextlib.closing(Processes(2)) as processes:
        results = processes.map(double, items())
        assert next(results) == 0
        assert len(taken) == 2 * AHEAD * CHUNK, "of two processes"
        assert list(results) == list(range(2, 120, 2))


def test_a_process_that_dies_halts_the_work():
    expected = pytest.raises(Halted, match="a process died: run the same command again")
    with contextlib.closing(Processes(1)) as processes, expected:
        list(processes.map(die, range(3)))
