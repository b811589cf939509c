import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.speech.product import by_halves, product


def factors(rows: int, inputs: int, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(rows)
    return rng.normal(size=(2, rows, inputs)).astype(np.float32), rng.normal(size=(inputs, outputs)).astype(np.float32)


def error(result: jax.Array, x_I: np.ndarray, kernel_IO: np.ndarray) -> float:
    """The largest of any, over the lengths of what was multiplied: rounding of a float32 number is 6e-8."""
    exact = x_I.astype(np.float64) @ kernel_IO.astype(np.float64)
    lengths = np.linalg.norm(x_I.astype(np.float64), axis=-1)[..., None] * np.linalg.norm(kernel_IO.astype(np.float64), axis=0)
    return float(np.max(np.abs(np.asarray(result) - exact) / lengths))


@pytest.mark.parametrize("form", [product, by_halves])
@pytest.mark.parametrize("x_size", [1.0, 1e-20, 1e-6, 1e6, 1e20])
@pytest.mark.parametrize("kernel_size", [1.0, 1e-7, 1e7])
def test_forms_are_exact_at_every_size(form, x_size, kernel_size):
    x_BTI, kernel_IO = factors(7, 300, 40)
    x_BTI, kernel_IO = x_BTI * np.float32(x_size), kernel_IO * np.float32(kernel_size)
    assert error(jax.jit(form)(x_BTI, kernel_IO), x_BTI, kernel_IO) < 2e-7


def test_halves_keep_what_is_small_beside_the_largest():
    x_BTI, kernel_IO = factors(50, 64, 16)
    x_BTI *= np.float32(10.0) ** np.random.default_rng(1).integers(-6, 1, x_BTI.shape)
    kernel_IO *= np.float32(10.0) ** np.random.default_rng(2).integers(-6, 1, kernel_IO.shape)
    assert error(jax.jit(by_halves)(x_BTI, kernel_IO), x_BTI, kernel_IO) < 2e-7


def test_halves_of_zeros_and_of_what_is_no_number():
    x_TI, kernel_IO = factors(4, 8, 3)
    x_TI = x_TI[0].copy()
    x_TI[0], x_TI[1, 2], x_TI[2, 3] = 0, np.inf, np.nan
    y_TO = np.asarray(by_halves(jnp.asarray(x_TI), jnp.asarray(kernel_IO)))
    assert not y_TO[0].any()
    assert not np.isfinite(y_TO[1:3]).any()
    assert np.isfinite(y_TO[3]).all()


def test_small_gradients_arrive():
    x_BTI, kernel_IO = factors(5, 6, 4)
    scaled = jax.grad(lambda x, kernel: 1e-12 * product(x, kernel).sum(), argnums=(0, 1))(jnp.asarray(x_BTI), jnp.asarray(kernel_IO))
    np.testing.assert_allclose(scaled[0], np.broadcast_to(1e-12 * kernel_IO.sum(1), x_BTI.shape), rtol=1e-5)
    np.testing.assert_allclose(scaled[1], np.broadcast_to(1e-12 * x_BTI.sum((0, 1))[:, None], kernel_IO.shape), rtol=1e-4)
