"""Distances by dynamic time warping, against the recursion written out for one pair."""

import numpy as np
import pytest

from spirit_jax.evals.metrics.warping import warped_distances


def frame_cost(x, y):
    if np.ndim(x) == 0:
        return float(x != y)
    cosine = np.dot(x, y) / np.linalg.norm(x) / np.linalg.norm(y)
    return np.arccos(np.clip(cosine, -1, 1)) / np.pi


def distance_by_definition(first, second):
    """The cheapest path and its frames, cell after cell."""
    paths = {}
    for t, x in enumerate(first):
        for u, y in enumerate(second):
            single = [paths[at] for at in [(t - 1, u), (t, u - 1)] if at in paths]
            ways = [paths[at] for at in [(t - 1, u - 1)] if at in paths] + sorted(single)
            cost, frames = min(ways or [(0.0, 0)], key=lambda path: path[0])
            paths[t, u] = cost + frame_cost(x, y), frames + 1
    cost, frames = paths[len(first) - 1, len(second) - 1]
    return cost / frames


def draw(units, count=14, longest=21, seed=0):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest, count)
    return [rng.integers(0, 4, n) if units else rng.normal(size=(n, 6)).astype(np.float32) for n in lengths]


@pytest.mark.parametrize("units", [True, False])
def test_distances_equal_the_recursion_written_out(units):
    sequences = draw(units)
    first, second = np.triu_indices(len(sequences))
    found = warped_distances(sequences, first, second)
    expected = [distance_by_definition(sequences[i], sequences[j]) for i, j in zip(first, second)]
    np.testing.assert_allclose(found, expected, atol=1e-3 * (not units) + 1e-6)


@pytest.mark.parametrize("units", [True, False])
def test_a_distance_is_the_same_both_ways_and_in_any_company(units):
    sequences = draw(units, seed=1)
    first, second = np.triu_indices(len(sequences))
    found = warped_distances(sequences, first, second)
    np.testing.assert_allclose(warped_distances(sequences, second, first), found, atol=1e-6)
    alone = [warped_distances([sequences[2], sequences[9]], np.array([0]), np.array([1]))[0]]
    np.testing.assert_allclose(alone, found[(first == 2) & (second == 9)], atol=1e-6)


def test_a_stretched_sequence_is_at_no_distance():
    units = np.array([3, 1, 1, 2])
    found = warped_distances([units, np.repeat(units, 3)], np.array([0, 0]), np.array([0, 1]))
    np.testing.assert_array_equal(found, [0, 0])


def test_opposite_features_are_at_distance_one_whatever_their_size():
    x = np.ones((3, 4), np.float32)
    found = warped_distances([x, -7 * x, 3 * x], np.array([0, 0]), np.array([1, 2]))
    np.testing.assert_allclose(found, [1, 0], atol=1e-3)
