import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.speech.kernels.product import by_halves, product


def factors(rows: int, inputs: int, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(rows)
    return rng.normal(size=(2, rows, inputs)).astype(np.float32), rng.normal(size=(inputs, outputs)).astype(
        np.float32
    )


def error(result: jax.Array, x_I: np.ndarray, kernel_IO: np.ndarray) -> float:
    """The largest of any, over the lengths of what was multiplied: rounding of a float32 number is 6e-8."""
    exact = x_I.astype(np.float64) @ kernel_IO.astype(np.float64)
    lengths = np.linalg.norm(x_I.astype(np.float64), axis=-1)[..., None] * np.linalg.norm(
        kernel_IO.astype(np.float64), axis=0
    )
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


def test_halves_keep_bands_that_are_small_beside_the_largest():
    """As of a spectrum, which local kernels do not mix with the loud ones: each output by itself."""
    x_TI = np.abs(factors(20, 64, 1)[0][0]) + np.float32(0.1)
    x_TI[:, ::4] *= np.float32(1e-4)
    x_TI[:, 1::4] *= np.float32(1e-6)
    x_TI[:, 2::4] *= np.float32(1e-10)
    y_TO = np.asarray(jax.jit(by_halves)(x_TI, np.eye(64, dtype=np.float32)))
    for first, tolerance in ((0, 3e-7), (1, 3e-7), (2, 1e-3), (3, 3e-7)):
        np.testing.assert_allclose(y_TO[:, first::4], x_TI[:, first::4], rtol=tolerance)


def test_halves_of_zeros_and_of_what_is_no_number():
    x_TI, kernel_IO = factors(4, 8, 3)
    x_TI = x_TI[0].copy()
    x_TI[0], x_TI[1, 2], x_TI[2, 3] = 0, np.inf, np.nan
    y_TO = np.asarray(by_halves(jnp.asarray(x_TI), jnp.asarray(kernel_IO)))
    assert not y_TO[0].any()
    assert not np.isfinite(y_TO[1:3]).any()
    assert np.isfinite(y_TO[3]).all()


def cuda_products(form) -> list[str]:
    """The products of a function of two factors, as lowered for an NVIDIA GPU."""
    x_BTI, kernel_IO = factors(5, 6, 4)
    text = jax.jit(form).trace(x_BTI, kernel_IO).lower(lowering_platforms=("cuda",)).as_text()
    return [line for line in text.splitlines() if "dot_general" in line]


def test_gpus_take_halves_but_for_gradients():
    assert ["f16" in line for line in cuda_products(product)] == [True] * 3
    gradient = cuda_products(jax.grad(lambda x, kernel: product(x, kernel).sum(), argnums=(0, 1)))
    assert sum("f16" not in line for line in gradient) == 2
    assert all("HIGHEST" in line for line in gradient if "f16" not in line)


def test_gradients():
    x_BTI, kernel_IO = map(jnp.asarray, factors(5, 6, 4))
    ours = jax.grad(lambda x, kernel: jnp.square(product(x, kernel)).sum(), argnums=(0, 1))(x_BTI, kernel_IO)
    plain = jax.grad(lambda x, kernel: jnp.square(x @ kernel).sum(), argnums=(0, 1))(x_BTI, kernel_IO)
    for value, expected in zip(ours, plain):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)
