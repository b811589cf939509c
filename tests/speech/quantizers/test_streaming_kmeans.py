"""Streaming k-means: it comes close to batch k-means, restarts dead codes, and keeps no points."""

import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.speech.quantizers.kmeans import nearest, train_kmeans
from spirit_jax.speech.quantizers.streaming_kmeans import StreamingKmeans

RNG = np.random.default_rng(0)
CLOUDS = RNG.normal(0, 4, (8, 5)).astype(np.float32)


def draw(count, clouds=CLOUDS, seed=1):
    rng = np.random.default_rng(seed)
    return (
        clouds[rng.integers(0, len(clouds), count)] + rng.normal(0, 0.5, (count, clouds.shape[1]))
    ).astype(np.float32)


def distance(x_ND, centers_KD):
    return float(nearest(x_ND, centers_KD)[1].mean())


def test_a_stream_gives_nearly_what_all_points_at_once_give():
    points, held_out = draw(12000), draw(2000, seed=2)
    kmeans = StreamingKmeans(8, seed=0)
    kmeans.add(points[:400])
    first = distance(held_out, kmeans.centers_KD)
    for start in range(400, len(points), 333):
        kmeans.add(points[start : start + 333])
    centers = kmeans.finish()
    assert kmeans.points == len(points)
    assert distance(held_out, centers) <= first
    assert distance(held_out, centers) < 1.02 * distance(held_out, train_kmeans(points, 8, 0))


def test_the_cut_of_the_stream_changes_nothing():
    points = draw(5000)
    whole, parts = StreamingKmeans(8, 0), StreamingKmeans(8, 0)
    whole.add(points)
    for part in np.array_split(points, 37):
        parts.add(part)
    np.testing.assert_array_equal(whole.finish(), parts.finish())


def test_codes_whose_points_stay_away_are_restarted():
    """The stream moves to distant clouds: unused codes follow."""
    kmeans = StreamingKmeans(8, 0)
    kmeans.add(draw(640))
    far = draw(20000, CLOUDS + 100)
    kmeans.add(far)
    assert kmeans.restarts >= 4
    assert distance(far, kmeans.finish()) < 0.1 * far.var(axis=0).sum(), (
        "one code alone would be off by the whole variance"
    )


def test_points_on_their_codes_restart_none():
    """Recordings that repeat: rounding made the distance to a code's own point negative, which no chance can
    be.
    """
    few = draw(12, seed=3) * 100
    kmeans = StreamingKmeans(14, 0)
    for seed in range(40):
        kmeans.add(few[np.random.default_rng(seed).integers(0, len(few) - (seed > 20) * 6, kmeans.batch)])
    square_N = nearest(few, kmeans.finish())[1]
    assert square_N.min() >= 0
    assert np.isfinite(kmeans.centers_KD).all()


def test_memory_is_that_of_one_batch():
    kmeans = StreamingKmeans(8, 0)
    for seed in range(20):
        kmeans.add(draw(500, seed=seed))
        assert sum(map(len, kmeans._waiting)) < kmeans.batch


def test_too_few_points_are_told():
    kmeans = StreamingKmeans(8, 0)
    kmeans.add(draw(5))
    with pytest.raises(UserError, match="at least the number of codes"):
        kmeans.finish()
