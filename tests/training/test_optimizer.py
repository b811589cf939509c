import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from spirit_jax.config import OptimConfig, Schedule
from spirit_jax.training.optimizer import decay_mask, make_optimizer, make_schedule
from tests.training.tiny import make_llama


@pytest.fixture(scope="module")
def model():
    return make_llama()


@pytest.fixture(autouse=True)
def optax_promotes():
    with jax.numpy_dtype_promotion("standard"):
        yield


def test_rate_rises_to_its_peak_and_stays():
    rate = make_schedule(OptimConfig(3e-5, warmup_steps=10), 100)
    np.testing.assert_allclose([rate(step) for step in range(10)], 3e-6 * np.arange(1, 11), rtol=1e-6)
    np.testing.assert_allclose([rate(10), rate(50), rate(1000)], 3e-5, rtol=1e-6)


def test_cosine_ends_at_its_fraction():
    rate = make_schedule(
        OptimConfig(1e-3, warmup_steps=10, schedule=Schedule.COSINE, final_lr_fraction=0.1), 110
    )
    np.testing.assert_allclose([rate(10), rate(60), rate(110)], [1e-3, 5.5e-4, 1e-4], rtol=1e-5)
    assert all(rate(step + 1) < rate(step) for step in range(10, 110))


@pytest.mark.parametrize("warmup", [0, 1, 2])
def test_short_warm_ups(warmup):
    rate = make_schedule(OptimConfig(1e-3, warmup_steps=warmup), 10)
    assert rate(0) == pytest.approx(1e-3 / max(warmup, 1))
    assert rate(2) == pytest.approx(1e-3)


def test_matrices_decay_and_norm_scales_do_not(model):
    decays = {
        jax.tree_util.keystr(path): bool(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(decay_mask(model))
    }
    assert decays
    for name, decayed in decays.items():
        assert decayed == ("norm" not in name), name
    assert model.layers.mlp_norm.scale[...].ndim == 2, (
        "a stacked scale has two dimensions: ndim would decay it"
    )


def test_one_update_is_clipped_adamw(model):
    config = OptimConfig(
        peak_lr=1e-2, warmup_steps=0, b1=0.9, b2=0.95, eps=1e-8, weight_decay=0.1, clip_norm=1.0
    )
    optimizer = make_optimizer(config, 10)
    grads = jax.tree.map(lambda p: jnp.full_like(p, 0.5), model)
    updates, _ = jax.jit(lambda g, m: optimizer.update(g, optimizer.init(m), m))(grads, model)
    # After one step the bias-corrected moments are g and g squared, whatever the clip: the update is the rate
    # times the sign.
    scale = 0.5 / optax.global_norm(grads)
    step = scale / (scale + 1e-8)
    matrix, norm = model.layers.mlp.up_DF[...], model.norm.scale[...]
    np.testing.assert_allclose(updates.layers.mlp.up_DF[...], -1e-2 * (step + 0.1 * matrix), rtol=1e-5)
    np.testing.assert_allclose(updates.norm.scale[...], jnp.full_like(norm, -1e-2 * step), rtol=1e-5)


def test_clipping_bounds_what_moments_see(model):
    optimizer = make_optimizer(OptimConfig(clip_norm=1.0, b1=0.9), 10)
    grads = jax.tree.map(lambda p: jnp.full_like(p, 100.0), model)
    _, state = jax.jit(lambda g, m: optimizer.update(g, optimizer.init(m), m))(grads, model)
    moments = next(
        part.mu for part in jax.tree.leaves(state, is_leaf=lambda x: hasattr(x, "mu")) if hasattr(part, "mu")
    )
    assert optax.global_norm(moments) == pytest.approx(0.1, rel=1e-5)
