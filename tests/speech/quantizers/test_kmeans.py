import itertools

import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.speech.quantizers import kmeans as quantizer

RNG = np.random.default_rng(0)


def clusters(count, points, spread=0.05, dims=3):
    centres = RNG.uniform(-3, 3, (count, dims))
    return centres, (
        centres[RNG.integers(0, count, points)] + spread * RNG.normal(size=(points, dims))
    ).astype(np.float32)


def loss(x, c):
    return np.square(x[:, None] - c).sum(-1).min(1).mean()


def test_finds_separate_clusters():
    centres, x = clusters(12, 3000)
    found = quantizer.train_kmeans(x, 12, seed=0)
    nearest = np.sqrt(np.square(centres[:, None] - found).sum(-1).min(1))
    assert np.median(nearest) < 0.02
    assert loss(x, found) < 3 * loss(x, centres.astype(np.float32))


def test_is_no_worse_than_scikit_learn():
    from sklearn.cluster import KMeans

    x = RNG.normal(size=(4000, 8)).astype(np.float32)
    theirs = KMeans(20, n_init=1, random_state=0).fit(x).cluster_centers_
    assert loss(x, quantizer.train_kmeans(x, 20, seed=0)) < 1.01 * loss(x, theirs)


def test_same_seed_same_codes_other_seed_others():
    x = RNG.normal(size=(2000, 4)).astype(np.float32)
    first, again, other = (quantizer.train_kmeans(x, 10, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_every_code_is_used_even_with_many_equal_points():
    x = np.concatenate([np.zeros((900, 2)), RNG.normal(size=(30, 2))]).astype(np.float32)
    codes = quantizer.assign(x, quantizer.train_kmeans(x, 20, seed=0))
    assert len(np.unique(codes)) >= 19


def test_fewer_points_than_codes_is_told():
    with pytest.raises(UserError, match="k-means points = 5"):
        quantizer.train_kmeans(np.zeros((5, 2), np.float32), 6, seed=0)


def test_assign_is_nearest_and_does_not_depend_on_company():
    x = RNG.normal(size=(9000, 5)).astype(np.float32)
    c = RNG.normal(size=(40, 5)).astype(np.float32)
    codes, squares = quantizer.nearest(x, c)
    exact = np.square(x[:, None].astype(np.float64) - c).sum(-1)
    np.testing.assert_allclose(exact[np.arange(9000), codes], exact.min(1), atol=1e-5)
    np.testing.assert_allclose(squares, exact.min(1), atol=1e-4)
    np.testing.assert_array_equal(quantizer.assign(x[4000:4777], c), codes[4000:4777])


def path_cost(x, c, path, change):
    return np.square(x - c[list(path)]).sum() + change * np.count_nonzero(np.diff(path))


@pytest.mark.parametrize("change", [0.1, 0.8, 3.0])
def test_paths_are_the_cheapest_of_all(change):
    c = RNG.normal(size=(3, 2)).astype(np.float32)
    sequences = [RNG.normal(size=(n, 2)).astype(np.float32) for n in (7, 1, 6)]
    for x, path in zip(sequences, quantizer.assign_paths(sequences, c, change)):
        best = min(path_cost(x, c, other, change) for other in itertools.product(range(3), repeat=len(x)))
        assert path_cost(x, c, path, change) == pytest.approx(best, rel=1e-5)


def test_free_changes_give_the_nearest_and_dear_ones_a_constant():
    c = RNG.normal(size=(8, 2)).astype(np.float32)
    x = RNG.normal(size=(50, 2)).astype(np.float32)
    np.testing.assert_array_equal(quantizer.assign_paths([x], c, 0.0)[0], quantizer.assign(x, c))
    assert len(np.unique(quantizer.assign_paths([x], c, 1e6)[0])) == 1


def test_a_path_does_not_depend_on_its_neighbours():
    c = RNG.normal(size=(30, 4)).astype(np.float32)
    sequences = [RNG.normal(size=(n, 4)).astype(np.float32) for n in (3000, 17, 2500, 1, 4096, 900)]
    together = quantizer.assign_paths(sequences, c, 1.0)
    for x, path in zip(sequences, together):
        np.testing.assert_array_equal(quantizer.assign_paths([x], c, 1.0)[0], path)
