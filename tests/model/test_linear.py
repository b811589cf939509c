import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.config import MeshConfig
from spirit_jax.model.linear import TABLE_BLOCK, against_table, linear
from spirit_jax.sharding import make_mesh, place_axes, place_batch


@pytest.mark.parametrize(("inputs", "outputs"), [(5, 12), (12, 5), (7, 7)])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_gradients_are_those_of_a_matrix_product(inputs, outputs, dtype):
    a, b, c = jax.random.split(jax.random.key(0), 3)
    x, weight = jax.random.normal(a, (2, 3, inputs), dtype), jax.random.normal(b, (inputs, outputs), dtype)
    slope = jax.random.normal(c, (2, 3, outputs), dtype)
    value, pull = jax.vjp(linear, x, weight)
    expected_value, expected_pull = jax.vjp(jnp.matmul, x, weight)
    for ours, theirs in zip((value, *pull(slope)), (expected_value, *expected_pull(slope)), strict=True):
        assert ours.dtype == theirs.dtype == dtype
        # other orders of at most 12 summands; bfloat16 keeps 8 bits
        rounding = 1e-6 if dtype == jnp.float32 else 2e-2
        np.testing.assert_allclose(
            ours.astype(jnp.float32), theirs.astype(jnp.float32), rtol=rounding, atol=rounding * 10
        )


@pytest.mark.parametrize(("inputs", "outputs"), [(5, 12), (12, 5)])
def test_a_float32_weight_gets_a_gradient_that_was_never_rounded(inputs, outputs):
    a, b, c = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(a, (2, 3, inputs), jnp.bfloat16)
    weight = jax.random.normal(b, (inputs, outputs))
    slope = jax.random.normal(c, (2, 3, outputs), jnp.bfloat16)
    value, pull = jax.vjp(linear, x, weight)
    slope_of_weight = pull(slope)[1]
    assert (value.dtype, slope_of_weight.dtype) == (jnp.bfloat16, jnp.float32)
    exact = np.einsum("BTD,BTF->DF", *(np.asarray(y, np.float64) for y in (x, slope)))
    np.testing.assert_allclose(slope_of_weight, exact, rtol=1e-5, atol=1e-6)


def test_devices_sum_the_gradient_of_a_float32_weight_without_rounding_their_parts():
    """Of a bfloat16 weight each rounds its part, so that the sum of eight has an error of 0.2 %."""
    rng = np.random.default_rng(0)
    x, slope = (jnp.asarray(rng.normal(size=(8, 16, width)), jnp.bfloat16) for width in (24, 40))
    exact = np.einsum("BTD,BTF->DF", *(np.asarray(y, np.float64) for y in (x, slope)))
    mesh, errors = make_mesh(MeshConfig(8, 1)), {}
    with jax.set_mesh(mesh):
        x, slope = place_batch((np.asarray(x), np.asarray(slope)), mesh)
        for dtype in (jnp.float32, jnp.bfloat16):
            weight = jax.device_put(jnp.zeros((24, 40), dtype), place_axes(mesh, ("width", "mlp"), (24, 40)))
            pull = jax.jit(lambda x, weight, slope: jax.vjp(linear, x, weight)[1](slope)[1])
            found = np.asarray(pull(x, weight, slope), np.float64)
            errors[dtype] = np.linalg.norm(found - exact) / np.linalg.norm(exact)
    assert errors[jnp.float32] < 1e-6
    assert 1e-3 < errors[jnp.bfloat16] < 1e-2


@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (8, 1), (1, 32), (4, 16)])
@pytest.mark.parametrize("height", [3 * TABLE_BLOCK, 1000])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_table_in_blocks_gives_the_product_with_the_whole(shape, height, dtype):
    a, b = jax.random.split(jax.random.key(0))
    x, table = jax.random.normal(a, (*shape, 6), dtype), jax.random.normal(b, (height, 6), dtype)
    found = jax.jit(against_table)(x, table)
    assert found.dtype == jnp.float32
    expected = np.asarray(x, np.float64) @ np.asarray(table, np.float64).T
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
