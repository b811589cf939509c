import numpy as np
import pytest

from spirit_jax.model_io import new_rows as module
from spirit_jax.model_io.new_rows import Init, NewRowOptions, new_rows

OLD = (
    np.random.default_rng(0).standard_normal((400, 6)) @ np.random.default_rng(1).standard_normal((6, 6))
    + 3.0
)
LAST = np.full((5, 6), 1e6)  # padding rows behind the old ones


def read(rows: slice) -> np.ndarray:
    return np.concatenate([OLD, LAST])[rows].astype(np.float32)


def test_mean_is_the_mean_of_the_text_rows_alone():
    np.testing.assert_allclose(
        new_rows(read, 400, 3, NewRowOptions(Init.MEAN), 0), np.broadcast_to(OLD.mean(0), (3, 6)), rtol=1e-5
    )


def test_random_has_the_spread_of_the_text_rows_around_zero():
    rows = new_rows(read, 400, 4000, NewRowOptions(Init.RANDOM), 0)
    spread = (OLD - OLD.mean(0)).std()
    np.testing.assert_allclose(rows.std(), spread, rtol=0.05)
    assert abs(rows.mean()) < spread / 10


def test_normal_has_mean_and_scaled_covariance_of_the_text_rows():
    rows = new_rows(read, 400, 20_000, NewRowOptions(Init.NORMAL, scale=0.01), 0).astype(np.float64)
    expected = 0.01 * np.cov(OLD.T)
    np.testing.assert_allclose(rows.mean(0), OLD.mean(0), atol=0.02)
    np.testing.assert_allclose(np.cov(rows.T), expected, atol=0.06 * np.abs(expected).max())


@pytest.mark.parametrize("init", list(Init))
def test_reading_in_slices_changes_no_statistics(init, monkeypatch):
    whole = new_rows(read, 400, 3000, NewRowOptions(init, scale=1.0), 0)
    monkeypatch.setattr(module, "SLICE_ROWS", 64)
    sliced = new_rows(read, 400, 3000, NewRowOptions(init, scale=1.0), 0)
    np.testing.assert_allclose(sliced.mean(0), whole.mean(0), atol=0.4)
    np.testing.assert_allclose(sliced.std(), whole.std(), rtol=0.05, atol=1e-5)


def test_draws_depend_on_seed_and_table_alone():
    same, again = (new_rows(read, 400, 4, NewRowOptions(Init.RANDOM, seed=1), 2) for _ in range(2))
    np.testing.assert_array_equal(same, again)
    assert not np.array_equal(same, new_rows(read, 400, 4, NewRowOptions(Init.RANDOM, seed=2), 2))
    assert not np.array_equal(same, new_rows(read, 400, 4, NewRowOptions(Init.RANDOM, seed=1), 3))
