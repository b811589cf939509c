import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.generation.sampling import MAX_TEMPERATURE, Sampling, forbid, nucleus, sample

LOGITS = jnp.log(jnp.array([0.5, 0.3, 0.15, 0.05], jnp.float32))


def draw(logits_V, temperature, top_p, count=4000, seed=0):
    keys = jax.random.split(jax.random.key(seed), count)
    rows = jnp.broadcast_to(logits_V[None], (count, len(logits_V)))
    return np.asarray(jax.jit(sample)(rows, keys, jnp.float32(temperature), jnp.float32(top_p)))


@pytest.mark.parametrize(("top_p", "kept"), [(0.01, 1), (0.5, 1), (0.51, 2), (0.79, 2), (0.9, 3), (1.0, 4)])
def test_nucleus_keeps_the_fewest_that_reach_top_p(top_p, kept):
    rows = jnp.stack([LOGITS, LOGITS[::-1]])
    finite = np.isfinite(nucleus(rows, jnp.float32(top_p)))
    np.testing.assert_array_equal(finite, [[i < kept for i in range(4)], [i >= 4 - kept for i in range(4)]])


def test_frequencies_follow_the_temperature():
    counts = np.bincount(draw(LOGITS, 1.0, 1.0), minlength=4) / 4000
    np.testing.assert_allclose(counts, [0.5, 0.3, 0.15, 0.05], atol=0.03)
    sharp = np.bincount(draw(LOGITS, 0.5, 1.0), minlength=4) / 4000
    expected = np.array([0.5, 0.3, 0.15, 0.05]) ** 2
    np.testing.assert_allclose(sharp, expected / expected.sum(), atol=0.03)


def test_what_is_forbidden_stays_so_at_the_highest_temperature():
    allowed_V = forbid(LOGITS[None], jnp.array([True, False, False, True]))[0]
    assert set(draw(allowed_V, MAX_TEMPERATURE, 1.0, 400)) == {1, 2}


def test_zero_temperature_is_greedy():
    assert set(draw(LOGITS[::-1], 0.0, 0.95, 50)) == {3}


def test_forbidden_ids_are_never_drawn_and_the_rest_keeps_its_proportions():
    forbidden = jnp.array([True, False, False, True])
    drawn = draw(forbid(LOGITS[None], forbidden)[0], 1.0, 1.0)
    assert set(drawn) == {1, 2}
    assert abs(np.mean(drawn == 1) - 2 / 3) < 0.03
    assert set(draw(forbid(LOGITS[None], forbidden)[0], 0.0, 1.0, 10)) == {1}


def test_a_row_draws_the_same_beside_any_neighbours():
    keys = jax.random.split(jax.random.key(3), 5)
    rows = jax.random.normal(jax.random.key(4), (5, 40))
    jitted = jax.jit(sample)
    together = jitted(rows, keys, jnp.float32(1.0), jnp.float32(0.9))
    alone = [
        int(jitted(rows[i : i + 1], keys[i : i + 1], jnp.float32(1.0), jnp.float32(0.9))[0]) for i in range(5)
    ]
    assert together.tolist() == alone


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"temperature": 1e38},
        {"top_p": 0.0},
        {"top_p": 1.5},
    ],
)
def test_settings_that_mean_nothing_are_refused(values):
    with pytest.raises(UserError, match=next(iter(values))):
        Sampling(**values)
