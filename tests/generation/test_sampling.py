import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.generation.sampling import MAX_TEMPERATURE, Sampling, forbid, penalize, sample

PROBABILITIES = np.array([0.5, 0.3, 0.15, 0.05])
LOGITS = jnp.log(jnp.asarray(PROBABILITIES, jnp.float32))
SIZE = 1000  # of several blocks


@functools.cache
def jitted():
    return jax.jit(sample)


def draw(logits_V, temperature=1.0, top_p=1.0, top_k=None, count=4000, seed=0):
    """Independent draws of one row of logits."""
    keys = jax.random.split(jax.random.key(seed), count)
    rows = jnp.broadcast_to(logits_V[None], (count, len(logits_V)))
    ks = jnp.full(count, top_k or len(logits_V), jnp.int32)
    fill = functools.partial(jnp.full, count, dtype=jnp.float32)
    return np.asarray(jitted()(rows, keys, fill(temperature), fill(top_p), ks))


def shares(drawn, size=4):
    return np.bincount(drawn, minlength=size) / len(drawn)


@pytest.mark.parametrize(("top_p", "kept"), [(0.01, 1), (0.499, 1), (0.51, 2), (0.79, 2), (0.9, 3), (1.0, 4)])
@pytest.mark.parametrize("backwards", [False, True])
def test_the_fewest_ids_that_reach_top_p_keep_their_proportions(top_p, kept, backwards):
    expected = np.where(np.arange(4) < kept, PROBABILITIES, 0)
    found = shares(draw(LOGITS[::-1] if backwards else LOGITS, top_p=top_p))
    np.testing.assert_allclose(found[::-1] if backwards else found, expected / expected.sum(), atol=0.03)


@pytest.mark.parametrize(("top_k", "kept"), [(1, 1), (2, 2), (3, 3), (4, 4), (99, 4)])
def test_top_k_keeps_as_many_in_their_proportions(top_k, kept):
    expected = np.where(np.arange(4) < kept, PROBABILITIES, 0)
    np.testing.assert_allclose(shares(draw(LOGITS, top_k=top_k)), expected / expected.sum(), atol=0.03)


def test_top_p_is_of_what_top_k_leaves():
    """0.5 of the 0.8 that two ids have is more than 0.6; of all it would be less."""
    assert set(draw(LOGITS, top_p=0.6, top_k=2, count=400)) == {0}
    assert set(draw(LOGITS, top_p=0.6, count=400)) == {0, 1}


def test_frequencies_follow_the_temperature():
    np.testing.assert_allclose(shares(draw(LOGITS)), PROBABILITIES, atol=0.03)
    sharp = PROBABILITIES**2
    np.testing.assert_allclose(shares(draw(LOGITS, 0.5)), sharp / sharp.sum(), atol=0.03)


@pytest.mark.parametrize("spread", [0.01, 1.0, 8.0])
@pytest.mark.parametrize(("top_p", "top_k"), [(1.0, None), (0.95, None), (0.5, None), (0.9, 500), (1.0, 3)])
def test_draws_among_many_ids_are_those_of_sorting(spread, top_p, top_k):
    """The definition: sort, cut, and draw by what is left."""
    logits_V = np.asarray(spread * jax.random.normal(jax.random.key(1), SIZE))
    drawn = draw(jnp.asarray(logits_V), 0.8, top_p, top_k)
    order = np.argsort(-logits_V)
    probability = np.exp((logits_V[order[:top_k]] - logits_V.max()) / 0.8)
    probability /= probability.sum()
    kept = int(np.searchsorted(np.cumsum(probability), top_p - 1e-5)) + 1
    expected = np.append(probability[:kept] / probability[:kept].sum(), np.zeros(SIZE - kept))
    rank = np.argsort(order)
    assert rank[drawn].max() < kept
    found = np.bincount(rank[drawn], minlength=SIZE) / len(drawn)
    np.testing.assert_allclose(np.cumsum(found), np.cumsum(expected), atol=0.035)


def test_draws_among_many_ids_have_their_probabilities():
    """Half of the probability is in one id, the other half in 999 equal ones."""
    logits_V = jnp.where(jnp.arange(SIZE) == 7, jnp.log(999.0), 0.0)
    drawn = draw(logits_V)
    assert abs(np.mean(drawn == 7) - 0.5) < 0.03
    assert len(set(drawn)) > 700


def test_what_is_forbidden_stays_so_at_the_highest_temperature():
    allowed_V = forbid(LOGITS[None], jnp.array([[True, False, False, True]]))[0]
    assert set(draw(allowed_V, MAX_TEMPERATURE, count=400)) == {1, 2}
    many_V = jnp.where(jnp.arange(SIZE) % 2 == 0, -jnp.inf, 0.0)
    assert (draw(many_V, MAX_TEMPERATURE, count=2000) % 2 == 1).all()
    one_V = jnp.where(jnp.arange(SIZE) == 500, -5.0, -jnp.inf)
    assert set(draw(one_V, 0.8, 0.95, count=50)) == {500}


def test_zero_temperature_is_greedy():
    assert set(draw(LOGITS[::-1], 0.0, 0.95, count=50)) == {3}


def test_forbidden_ids_are_never_drawn_and_the_rest_keeps_its_proportions():
    drawn = draw(forbid(LOGITS[None], jnp.array([[True, False, False, True]]))[0])
    assert set(drawn) == {1, 2}
    assert abs(np.mean(drawn == 1) - 2 / 3) < 0.03


def test_a_row_draws_the_same_beside_any_neighbours():
    """Whatever theirs are: greedy, sharp, or flat."""
    keys = jax.random.split(jax.random.key(3), 6)
    rows = jnp.array([0.0, 0.01, 9.0, 1.0, 5.0, 0.1])[:, None] * jax.random.normal(
        jax.random.key(4), (6, SIZE)
    )
    rules = (
        jnp.array([0.0, 1.0, 0.7, 1.0, 0.0, 2.0]),
        jnp.array([1.0, 0.9, 0.9, 1.0, 0.5, 0.3]),
        jnp.array([SIZE, SIZE, 5, 300, SIZE, SIZE]),
    )
    together = jitted()(rows, keys, *rules)
    alone = [jitted()(*(x[i : i + 1] for x in (rows, keys, *rules)))[0] for i in range(6)]
    assert together.tolist() == [int(id) for id in alone]


def test_the_penalty_is_of_the_ids_that_were_said_and_makes_them_less_likely():
    logits_BV = jnp.array([[2.0, -2.0, 1.0, -1.0]] * 2)
    tokens_BS = jnp.array([[0, 1, 1, 3], [2, 2, 3, 3]])
    found = penalize(logits_BV, tokens_BS, jnp.array([3, 2]), jnp.array([2.0, 4.0]))
    np.testing.assert_allclose(found, [[1.0, -4.0, 1.0, -1.0], [2.0, -2.0, 0.25, -1.0]])


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"temperature": 1e38},
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"top_k": 0},
        {"top_k": 2**31},
        {"repetition_penalty": 0.0},
        {"repetition_penalty": float("inf")},
        {"repetition_penalty": float("nan")},
    ],
)
def test_settings_that_mean_nothing_are_refused(values):
    with pytest.raises(UserError, match=next(iter(values))):
        Sampling(**values)
