import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.training.guard import FAMILIAR, MEMORY, SPIKE, Guard, judge


def after(norms, losses=None) -> tuple[list[bool], Guard]:
    guard, said = Guard.new(), []
    for place, norm in enumerate(norms):
        loss = 1.0 if losses is None else losses[place]
        good, guard = judge(guard, jnp.float32(loss), jnp.float32(norm))
        said.append(bool(good))
    return said, guard


def test_what_is_not_finite_is_left_out_and_forgotten():
    said, guard = after([1.0, np.nan, 1.0, np.inf, 1.0], [1.0, 1.0, np.nan, 1.0, 1.0])
    assert said == [True, False, False, False, True]
    assert (int(guard.counted), int(guard.skipped), int(guard.in_a_row)) == (2, 3, 0)
    assert guard.mean_norm == 1.0


def test_a_spike_is_left_out_once_norms_are_familiar():
    assert all(after([1.0] * (FAMILIAR - 1) + [100.0])[0]), "too early to tell"
    said, guard = after([1.0] * FAMILIAR + [0.9 * SPIKE, 1.5 * SPIKE, 1.5 * SPIKE])
    assert said == [True] * (FAMILIAR + 1) + [False, False]
    assert guard.in_a_row == 2


def test_the_mean_follows_slow_change():
    norms = np.linspace(1.0, 60.0, 2000)
    said, guard = after(norms)
    assert all(said)
    assert guard.mean_norm == pytest.approx(norms[-1], rel=2 * MEMORY / 2000)
