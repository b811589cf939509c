import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.model.linear import linear


@pytest.mark.parametrize(("inputs", "outputs"), [(5, 12), (12, 5), (7, 7)])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_gradients_are_those_of_a_matrix_product(inputs, outputs, dtype):
    a, b, c = jax.random.split(jax.random.key(0), 3)
    x, weight = jax.random.normal(a, (2, 3, inputs), dtype), jax.random.normal(b, (inputs, outputs), dtype)
    slope = jax.random.normal(c, (2, 3, outputs), dtype)
    value, pull = jax.vjp(linear, x, weight)
    expected_value, expected_pull = jax.vjp(jnp.matmul, x, weight)
    for ours, theirs in zip((value, *pull(slope)), (expected_value, *expected_pull(slope))):
        assert ours.dtype == theirs.dtype == dtype
        # other orders of at most 12 summands; bfloat16 keeps 8 bits
        rounding = 1e-6 if dtype == jnp.float32 else 2e-2
        np.testing.assert_allclose(
            ours.astype(jnp.float32), theirs.astype(jnp.float32), rtol=rounding, atol=rounding * 10
        )
