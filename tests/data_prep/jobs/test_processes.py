"""Work on rows in several processes: in order, a few items ahead, and an end in one line where one dies."""

import contextlib
import os

import pytest

from data_prep.jobs.processes import AHEAD, Processes, shared
from spirit_jax.core.errors import Halted


def add_shared(number: int) -> int:
    return number + shared()


def die(_: int) -> None:
    os._exit(9)


def test_results_come_in_order_and_items_are_taken_a_few_ahead():
    taken = []

    def items():
        for number in range(40):
            taken.append(number)
            yield number

    with contextlib.closing(Processes(2, shared=100)) as processes:
        results = processes.map(add_shared, items(), chunk=2)
        assert next(results) == 100
        assert len(taken) == 2 * AHEAD * 2, "two processes, chunks of two"
        assert list(results) == list(range(101, 140))


def test_a_process_that_dies_halts_the_work():
    expected = pytest.raises(Halted, match="a process died: run the same command again")
    with contextlib.closing(Processes(1)) as processes, expected:
        list(processes.map(die, range(3)))
