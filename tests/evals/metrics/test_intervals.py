import tracemalloc

import numpy as np
import pytest

from spirit_jax.evals.metrics.intervals import (
    Estimate,
    estimate_mean,
    estimate_over_runs,
    estimate_rate,
    estimate_ratio,
)


def test_the_value_is_the_ratio_of_sums_not_the_mean_of_ratios():
    assert estimate_ratio(np.array([1, 0]), np.array([1, 9])).value == pytest.approx(0.1)


def test_the_interval_is_repeatable_and_moves_with_the_seed():
    wins = np.random.default_rng(1).integers(0, 5, 100)
    pairs = np.full(100, 4)
    assert estimate_ratio(wins, pairs, 7) == estimate_ratio(wins, pairs, 7)
    assert estimate_ratio(wins, pairs, 7) != estimate_ratio(wins, pairs, 8)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(2)
    ones = np.ones(80)
    covered = [
        low <= 0.7 <= high
        for low, high in (estimate_ratio(rng.random(80) < 0.7, ones, trial).interval for trial in range(100))
    ]
    assert np.mean(covered) > 0.85


def test_items_that_all_agree_leave_no_doubt():
    assert estimate_ratio(np.ones(5), np.ones(5)) == Estimate(1.0, (1.0, 1.0), 5)


def test_nothing_measured_has_no_value():
    assert estimate_ratio(np.zeros(0), np.zeros(0)) == Estimate(None, None, 0)


def test_many_items_take_little_memory():
    """MMLU has 14,000: all draws at a time would take 0.7 GB."""
    wins = np.random.default_rng(3).random(14_000)
    tracemalloc.start()
    found = estimate_ratio(wins, np.ones(len(wins)), 7)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**26
    picks = np.random.default_rng(7).integers(len(wins), size=(2000, len(wins)))
    assert found.interval == tuple(np.percentile(wins[picks].sum(axis=1) / len(wins), [2.5, 97.5]))


def test_means_and_rates_are_ratios():
    assert estimate_mean(np.array([1, 0, 1, 1]), 3) == estimate_ratio(np.array([1, 0, 1, 1]), np.ones(4), 3)
    counts = [(1, 4), (0, 2), (3, 5)]
    assert estimate_rate(counts, 3) == estimate_ratio(np.array([1, 0, 3]), np.array([4, 2, 5]), 3)
    assert estimate_mean(np.zeros(0)) == estimate_rate([]) == Estimate(None, None, 0)


def test_one_run_has_about_the_interval_of_its_items():
    wins = np.random.default_rng(4).random(200) < 0.7
    alone, of_runs = estimate_ratio(wins, np.ones(200)), estimate_over_runs(wins[None], np.ones((1, 200)))
    assert (of_runs.value, of_runs.n) == (alone.value, 200)
    assert of_runs.interval == pytest.approx(alone.interval, abs=0.02)


def test_runs_that_differ_widen_the_interval():
    wins = np.random.default_rng(4).random((3, 400)) < 0.7
    differ = np.random.default_rng(4).random((3, 400)) < np.array([[0.55], [0.7], [0.85]])
    same, wide = (np.ptp(estimate_over_runs(one, np.ones((3, 400))).interval) for one in (wins, differ))
    assert wide > 2 * same


def test_an_item_that_all_runs_fail_is_one_item_not_three():
    """Its draws come together, so three equal runs say no more than one."""
    wins = np.random.default_rng(5).random(50) < 0.6
    one = estimate_over_runs(wins[None], np.ones((1, 50)))
    three = estimate_over_runs(np.stack([wins] * 3), np.ones((3, 50)))
    assert np.ptp(three.interval) == pytest.approx(np.ptp(one.interval), abs=0.03)


def test_runs_without_anything_measured_have_no_value():
    assert estimate_over_runs(np.zeros((2, 3)), np.zeros((2, 3))) == Estimate(None, None, 3)
