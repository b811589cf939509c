"""Reading ahead: in order, within a bound of seconds, and never stuck."""

import contextlib
import threading
import time

import numpy as np
import pytest

from data_prep.sound_queue import AHEAD, read_ahead


class Waiting:
    """Counts the seconds that were read and not taken."""

    def __init__(self):
        self.now, self.most, self.lock = 0.0, 0.0, threading.Lock()

    def read(self, seconds, admit):
        admit(seconds)
        self.add(seconds)
        return seconds

    def add(self, seconds):
        with self.lock:
            self.now += seconds
            self.most = max(self.most, self.now)


@pytest.mark.parametrize("bound", [5.0, 50.0])
def test_what_waits_is_bounded_by_seconds_and_comes_in_order(bound):
    waiting = Waiting()
    lengths = np.random.default_rng(0).uniform(1, 4, 200).tolist()
    taken = []
    for item, sound in read_ahead(lengths, waiting.read, bound):
        assert item == sound
        waiting.add(-sound)
        taken.append(item)
    assert taken == lengths
    assert bound / 2 < waiting.most <= bound + 4  # the one that was just taken is still counted


@pytest.mark.parametrize("long", [90.0, float("inf")])
def test_an_item_beyond_the_bound_waits_alone(long):
    begun = []

    def read(item, admit):
        admit(item)
        begun.append(item)
        return item

    for number, (item, _) in enumerate(read_ahead([long] * 5, read, 10.0), 1):
        assert item == long
        time.sleep(0.02)
        assert len(begun) <= number + 1


def test_items_that_fail_before_they_are_admitted_hold_nothing_up():
    def read(item, admit):
        if item % 3:
            admit(8.0)
        return item

    assert [item for item, _ in read_ahead(range(3 * AHEAD), read, 10.0)] == list(range(3 * AHEAD))


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_a_reader_that_stops_leaves_no_thread_waiting(taken):
    before = threading.active_count()
    with contextlib.closing(read_ahead([6.0] * 100, Waiting().read, 10.0)) as sounds:
        for _ in range(taken):
            next(sounds)
    assert threading.active_count() == before


def test_an_error_of_a_reader_reaches_the_caller():
    def read(item, admit):
        admit(item)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(read_ahead([6.0] * 100, read, 10.0))
