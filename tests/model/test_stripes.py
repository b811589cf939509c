"""Matrices in stripes, and a model that is laid out in them: the same products, logits and losses."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from spirit_jax.config import MeshConfig, ModelConfig
from spirit_jax.model.cpu_weights import lay_out
from spirit_jax.model.linear import against_table, linear, widen
from spirit_jax.model.llama import Llama, init_sharded
from spirit_jax.model.loss import token_nll
from spirit_jax.model.stripes import MOST_ROWS, PARTS, STRIPE, Striped, stripe
from spirit_jax.sharding import make_mesh
from tests.model.tiny import CONFIG, batch

WIDE = dataclasses.replace(CONFIG, rows=256, width=64, heads=2, kv_heads=1, head_width=64, mlp_width=192)


def normal(seed: int, *shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape, np.float32))


def random_llama(cfg: ModelConfig) -> Llama:
    return init_sharded(cfg, jax.random.key(0), make_mesh(MeshConfig(1, 1, 1), jax.devices()[:1]))


def places(rows: int, length: int) -> tuple[jax.Array, jax.Array]:
    tokens_BT = np.random.default_rng(1).integers(0, WIDE.rows, (rows, length), np.int32)
    return jnp.asarray(tokens_BT), jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32), (rows, length))


@pytest.fixture(scope="module", params=[False, True], ids=["untied", "tied"])
def pair(request: pytest.FixtureRequest) -> tuple[Llama, Llama]:
    llama = random_llama(dataclasses.replace(WIDE, tied=request.param))
    return llama, lay_out(llama)


@pytest.mark.parametrize("rows", [1, 2, 8, MOST_ROWS, MOST_ROWS + 1])
@pytest.mark.parametrize("outputs", [STRIPE, 5 * STRIPE])
def test_a_product_is_that_of_the_matrix(rows, outputs):
    x_BTD, matrix_DF = normal(0, rows, 1, 48), normal(1, 48, outputs)
    striped = stripe(matrix_DF)
    assert isinstance(striped, Striped)
    np.testing.assert_allclose(jax.jit(linear)(x_BTD, striped), x_BTD @ matrix_DF, rtol=1e-5, atol=1e-5)


def test_a_large_matrix_has_parts_that_are_multiplied_by_themselves():
    matrix_DF = normal(0, 2**12, 2 * PARTS * STRIPE)
    striped = stripe(matrix_DF)
    assert isinstance(striped, Striped)
    assert len(striped.parts) == PARTS
    x_1TD = normal(1, 1, 3, 2**12)
    np.testing.assert_allclose(jax.jit(linear)(x_1TD, striped), x_1TD @ matrix_DF, rtol=1e-4, atol=1e-3)


def test_stripes_hold_every_weight_once_and_give_it_back():
    matrix_DF = normal(0, 48, 3 * STRIPE)
    striped = stripe(matrix_DF, (6, 8, 3 * STRIPE))
    assert isinstance(striped, Striped)
    assert sum(part.size for part in striped.parts) == matrix_DF.size
    np.testing.assert_array_equal(striped.whole(), matrix_DF.reshape(6, 8, -1))


def test_a_matrix_that_stripes_do_not_divide_stays_as_it_is():
    matrix_DF = normal(0, 48, STRIPE + 1)
    np.testing.assert_array_equal(stripe(matrix_DF), matrix_DF)


def test_a_striped_table_gives_float32_products_in_any_type():
    table_VD = normal(0, 2 * STRIPE, 48)
    striped = stripe(table_VD.T)
    found_BTV = against_table(normal(1, 2, 1, 48).astype(jnp.bfloat16), striped)
    assert found_BTV.dtype == jnp.float32
    np.testing.assert_array_equal(widen(striped, jnp.float32), table_VD)


def test_logits_losses_and_states_are_those_of_the_model(pair):
    plain, laid_out = pair
    assert isinstance(laid_out.layers, nnx.List)
    assert isinstance(laid_out.output_VD, Striped)
    tokens_BT, positions_BT = places(2, 12)
    found_BTV, expected_BTV = (one(tokens_BT, positions_BT)[0] for one in (laid_out, plain))
    np.testing.assert_allclose(found_BTV, expected_BTV, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(laid_out.layer_states(tokens_BT), plain.layer_states(tokens_BT), atol=1e-5)


def test_likelihoods_are_those_of_the_model(pair):
    rows = batch([[5, 7], [12]], 12, rows=WIDE.rows)
    found_BT, expected_BT = (token_nll(one, rows) for one in reversed(pair))
    np.testing.assert_allclose(found_BT, expected_BT, rtol=1e-5, atol=1e-5)


def test_a_looped_model_stays_as_it_is():
    deep = random_llama(dataclasses.replace(WIDE, layers=9))
    assert lay_out(deep) is deep
