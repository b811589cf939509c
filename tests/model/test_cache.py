"""The cache of one row without the axis of rows holds the same as with it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.model.cache import LayerCache, drop_row, new_cache
from tests.model.tiny import CONFIG

SLOTS = 8


def entries(seed, rows, tokens):
    rng = np.random.default_rng(seed)
    shape = (rows, tokens, CONFIG.kv_heads, CONFIG.head_width)
    return [jnp.asarray(rng.standard_normal(shape, np.float32)) for _ in range(2)]


@pytest.mark.parametrize(("at", "tokens"), [(0, 5), (3, 1), (SLOTS - 1, 1)])
def test_one_row_is_written_alike(at, tokens):
    cache = new_cache(CONFIG, 1, SLOTS)
    positions = at + jnp.arange(tokens, dtype=jnp.int32)[None]
    written = [
        LayerCache(keys[0], values[0], None).write(*entries(at, 1, tokens), positions).of_layer()
        for keys, values in (cache, drop_row(cache))
    ]
    assert drop_row(cache)[0][0].ndim == 3
    assert np.abs(written[0][0]).sum() > 0
    jax.tree.map(np.testing.assert_array_equal, *written)


def test_a_cache_of_several_rows_stays_as_it_is():
    cache = new_cache(CONFIG, 2, SLOTS)
    assert drop_row(cache) is cache
