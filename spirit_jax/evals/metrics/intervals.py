"""Confidence intervals by resampling items, and runs that differ by their seed."""

import dataclasses
from collections.abc import Sequence

import numpy as np

DRAWS = 2000
DRAWN = 100  # draws at a time: with 20,000 items their indices take 16 MB


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A ratio of sums over n items, with the ends of its bootstrap 95 % interval.

    Value and interval are None if there was nothing to measure.
    """

    value: float | None
    interval: tuple[float, float] | None
    n: int


def estimate_mean(values: np.ndarray, seed: int = 0) -> Estimate:
    """The mean of values [N] of items, with its interval."""
    return estimate_ratio(values, np.ones(len(values)), seed)


def estimate_rate(counts: Sequence[tuple[float, float]], seed: int = 0) -> Estimate:
    """Errors or hits for each of what they are counted of, from both numbers of every item."""
    above_N, below_N = np.array(counts, np.float64).reshape(-1, 2).T
    return estimate_ratio(above_N, below_N, seed)


def estimate_ratio(numerators: np.ndarray, denominators: np.ndarray, seed: int = 0) -> Estimate:
    """sum(numerators) / sum(denominators) over items [N], such as errors per word or wins per pair.

    The interval is the 2.5th to the 97.5th percentile over 2,000 resamplings of the items. It is the same for
    the same seed.
    """
    numerators, denominators = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    if not denominators.sum():
        return Estimate(None, None, len(denominators))
    rng = np.random.default_rng(seed)
    sums = []
    for _ in range(DRAWS // DRAWN):
        picks = rng.integers(len(numerators), size=(DRAWN, len(numerators)))
        sums.append((numerators[picks].sum(axis=1), denominators[picks].sum(axis=1)))
    above, below = (np.concatenate(side) for side in zip(*sums))
    draws = above[below > 0] / below[below > 0]
    low, high = np.percentile(draws, [2.5, 97.5])
    return Estimate(float(numerators.sum() / denominators.sum()), (float(low), float(high)), len(numerators))


def estimate_over_runs(numerators_RN: np.ndarray, denominators_RN: np.ndarray, seed: int = 0) -> Estimate:
    """The same ratio over N items that were asked in each of R runs.

    Each draw resamples the runs and, independently of them, the items, so the interval is over both. Three
    runs say little about how much runs differ: then it is too narrow rather than too wide.
    """
    above_RN, below_RN = np.asarray(numerators_RN, np.float64), np.asarray(denominators_RN, np.float64)
    runs, items = above_RN.shape
    if not below_RN.sum():
        return Estimate(None, None, items)
    rng, draws = np.random.default_rng(seed), []
    for _ in range(DRAWS // DRAWN):
        times_DR = rng.multinomial(runs, np.full(runs, 1 / runs), DRAWN)
        times_DN = rng.multinomial(items, np.full(items, 1 / items), DRAWN)
        above_D, below_D = (((times_DR @ side) * times_DN).sum(axis=1) for side in (above_RN, below_RN))
        draws.append(above_D[below_D > 0] / below_D[below_D > 0])
    low, high = np.percentile(np.concatenate(draws), [2.5, 97.5])
    return Estimate(float(above_RN.sum() / below_RN.sum()), (float(low), float(high)), items)
