import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.speech.kernels.attention import MASKED, Attention, AttentionByHead
from tests.speech.kernels.layers import normal


def arguments(size: float = 1.0) -> tuple[jax.Array, ...]:
    """Queries, keys and values of two rows, and the bias, which masks the second row from frame 20 on."""
    counts_B = jnp.array([30, 20])
    bias_BT = jnp.where(jnp.arange(30)[None] < counts_B[:, None], 0.0, MASKED)
    return *(size * jnp.asarray(normal(2, 30, 12, seed=seed)) for seed in range(3)), bias_BT


# scores of a thousand are rounded to 6e-5 in either form
@pytest.mark.parametrize(("size", "tolerance"), [(1.0, 2e-6), (10.0, 1e-3)])
def test_head_by_head_is_attention(size, tolerance):
    attention = Attention(3)
    fast = jax.jit(AttentionByHead(attention))(*arguments(size))
    np.testing.assert_allclose(fast, attention(*arguments(size)), atol=tolerance)


@pytest.mark.parametrize("form", [Attention, lambda heads: AttentionByHead(Attention(heads))])
def test_masked_frames_are_without_influence(form):
    q_BTD, k_BTD, v_BTD, bias_BT = arguments()
    k_changed_BTD, v_changed_BTD = (y_BTD.at[1, 20:].add(5.0) for y_BTD in (k_BTD, v_BTD))
    attention = form(3)
    assert np.array_equal(
        attention(q_BTD, k_BTD, v_BTD, bias_BT), attention(q_BTD, k_changed_BTD, v_changed_BTD, bias_BT)
    )
