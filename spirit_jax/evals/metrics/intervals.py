"""Confidence intervals by resampling items."""

import dataclasses

import numpy as np

DRAWS = 2000


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A ratio of sums over n items, with the ends of its bootstrap 95 % interval.

    Value and interval are None if there was nothing to measure.
    """

    value: float | None
    interval: tuple[float, float] | None
    n: int


def estimate_ratio(numerators: np.ndarray, denominators: np.ndarray, seed: int = 0) -> Estimate:
    """sum(numerators) / sum(denominators) over items [N], such as errors per word or wins per pair.

    The interval is the 2.5th to the 97.5th percentile over 2,000 resamplings of the items. It is the same for
    the same seed.
    """
    numerators, denominators = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    if not denominators.sum():
        return Estimate(None, None, len(denominators))
    picks = np.random.default_rng(seed).integers(len(numerators), size=(DRAWS, len(numerators)))
    totals = denominators[picks].sum(axis=1)
    draws = numerators[picks].sum(axis=1)[totals > 0] / totals[totals > 0]
    low, high = np.percentile(draws, [2.5, 97.5])
    return Estimate(float(numerators.sum() / denominators.sum()), (float(low), float(high)), len(numerators))
