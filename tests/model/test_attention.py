import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.config import MeshConfig
from spirit_jax.model import attention
from spirit_jax.model.attention import (
    MIN_BLOCK,
    QUERY_BLOCKS,
    attend,
    attend_by_definition,
    attend_cache,
    attend_splash,
    branch_mask,
    segment_mask,
)
from spirit_jax.sharding import make_mesh


def heads(seed: int, rows: int, length: int, count: int, width: int = 8) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), (rows, length, count, width))


@pytest.mark.parametrize("length", [7, QUERY_BLOCKS * MIN_BLOCK], ids=["one block", "query blocks"])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_equals_its_definition_in_values_and_gradients(length, groups):
    q, k, v = heads(0, 2, length, 4), heads(1, 2, length, groups), heads(2, 2, length, groups)
    segments = jnp.asarray(np.sort(np.random.default_rng(0).integers(0, 4, (2, length))))

    def total(attention, last):
        return lambda q, k, v: (attention(q, k, v, last) * jnp.cos(jnp.arange(8.0))[None, None, None]).sum()

    np.testing.assert_allclose(
        attend(q, k, v, segments), attend_by_definition(q, k, v, segment_mask(segments)), rtol=2e-5, atol=2e-6
    )
    ours = jax.grad(total(attend, segments), argnums=(0, 1, 2))(q, k, v)
    theirs = jax.grad(total(attend_by_definition, segment_mask(segments)), argnums=(0, 1, 2))(q, k, v)
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


def test_grouped_heads_equal_repeated_ones():
    q, k, v, ones = heads(0, 1, 9, 6), heads(1, 1, 9, 2), heads(2, 1, 9, 2), jnp.ones((1, 9), jnp.int32)
    repeated = attend(q, jnp.repeat(k, 3, axis=2), jnp.repeat(v, 3, axis=2), ones)
    np.testing.assert_allclose(attend(q, k, v, ones), repeated, rtol=1e-5, atol=1e-6)


def test_mask_is_causal_within_a_segment_and_padding_is_apart():
    mask = segment_mask(jnp.array([[1, 1, 2, 0, 0]]))[0, 0]
    seen = [[0], [0, 1], [2], [3], [3, 4]]
    assert [list(np.flatnonzero(row)) for row in np.asarray(mask)] == seen


@pytest.mark.parametrize("length", [12, QUERY_BLOCKS * MIN_BLOCK], ids=["one block", "query blocks"])
def test_branches_equal_their_definition(length):
    """Three tokens, then two continuations of them, then a sequence of its own."""
    q, k, v = heads(0, 1, length, 4), heads(1, 1, length, 2), heads(2, 1, length, 2)
    ends = np.full((1, length), length)
    ends[0, :3], ends[0, 3:5], ends[0, 5:7] = 7, 5, 7
    mask = branch_mask(jnp.asarray(ends))
    seen = [list(np.flatnonzero(row)) for row in np.asarray(mask)[0, 0, [2, 4, 5, 6, 8]]]
    assert seen == [[0, 1, 2], [0, 1, 2, 3, 4], [0, 1, 2, 5], [0, 1, 2, 5, 6], [7, 8]]
    np.testing.assert_allclose(
        attend(q, k, v, jnp.ones((1, length), jnp.int32), jnp.asarray(ends)),
        attend_by_definition(q, k, v, mask),
        rtol=2e-5,
        atol=2e-6,
    )


def test_cache_shows_slots_up_to_each_position():
    q, k, v = heads(0, 2, 1, 4), heads(1, 2, 6, 2), heads(2, 2, 6, 2)
    positions = jnp.array([[1], [5]])
    for row, end in ((0, 2), (1, 6)):
        alone = attend_by_definition(
            q[row : row + 1], k[row : row + 1, :end], v[row : row + 1, :end], jnp.ones((1, 1, 1, end), bool)
        )
        np.testing.assert_allclose(
            attend_cache(q, k.swapaxes(1, 2), v.swapaxes(1, 2), positions)[row],
            alone[0],
            rtol=1e-5,
            atol=1e-6,
        )


def test_bfloat16_stays_near_float32():
    q, k, v, ones = heads(0, 1, 33, 4), heads(1, 1, 33, 2), heads(2, 1, 33, 2), jnp.ones((1, 33), jnp.int32)
    low = attend(*(x.astype(jnp.bfloat16) for x in (q, k, v)), ones)
    assert low.dtype == jnp.bfloat16
    np.testing.assert_allclose(low.astype(jnp.float32), attend(q, k, v, ones), atol=0.05)
    slopes = jax.grad(lambda *qkv: (attend(*qkv, ones).astype(jnp.float32) ** 2).sum(), argnums=(0, 1, 2))
    for narrow, wide in zip(slopes(*(x.astype(jnp.bfloat16) for x in (q, k, v))), slopes(q, k, v)):
        assert narrow.dtype == jnp.bfloat16
        np.testing.assert_allclose(narrow.astype(jnp.float32), wide, atol=0.02 * float(abs(wide).max()))


def compare_with_definition(kernel, q, k, v, segments, tolerance=2e-5):
    """Values and gradients."""
    slope = jax.random.normal(jax.random.key(9), q.shape)

    def defined(q, k, v):
        return attend_by_definition(q, k, v, segment_mask(segments))

    def both(function):
        y, back = jax.vjp(function, q, k, v)
        return y, *back(slope)

    ours, theirs = (
        jax.device_get(jax.jit(lambda f=f: both(f))())
        for f in (lambda q, k, v: kernel(q, k, v, segments), defined)
    )
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def packed_rows(length: int) -> jax.Array:
    """Two rows: three documents and padding; one document."""
    first = np.repeat([1, 2, 3, 0], [length // 2 - 7, 20, length // 2 - 40, 27])
    return jnp.asarray(np.stack([first, np.ones(length, np.int64)]).astype(np.int32))


def test_splash_equals_its_definition_in_values_and_gradients():
    q, k, v = heads(0, 2, 256, 4, 16), heads(1, 2, 256, 2, 16), heads(2, 2, 256, 2, 16)
    compare_with_definition(lambda *x: attend_splash(*x, interpret=True), q, k, v, packed_rows(256))


def test_splash_with_queries_split_over_devices_equals_its_definition():
    q, k, v = heads(0, 2, 256, 4, 16), heads(1, 2, 256, 2, 16), heads(2, 2, 256, 2, 16)
    with jax.set_mesh(make_mesh(MeshConfig(1, 2, 2, 2))):
        compare_with_definition(lambda *x: attend_splash(*x, interpret=True), q, k, v, packed_rows(256))


@pytest.mark.parametrize(
    "mesh", [MeshConfig(2, 1, 1, 4), MeshConfig(1, 2, 2, 2)], ids=["context", "context and tensor"]
)
def test_products_split_over_devices_equal_their_definition(mesh):
    q, k, v = heads(0, 2, 128, 4), heads(1, 2, 128, 2), heads(2, 2, 128, 2)
    with jax.set_mesh(make_mesh(mesh)):
        compare_with_definition(attend, q, k, v, packed_rows(128))


def test_what_cudnn_is_asked_for_equals_the_definition(monkeypatch):
    """The kernel needs a GPU; JAX's own implementation of the same call does not."""
    real = jax.nn.dot_product_attention
    monkeypatch.setattr(
        jax.nn,
        "dot_product_attention",
        lambda *args, implementation, **kwargs: real(*args, implementation="xla", **kwargs),
    )
    monkeypatch.setattr(attention, "platform", lambda: "gpu")
    monkeypatch.setattr(attention, "_fits_cudnn", lambda q: True)
    q, k, v = heads(0, 2, 128, 4), heads(1, 2, 128, 2), heads(2, 2, 128, 2)
    compare_with_definition(attend, q, k, v, packed_rows(128))
    with jax.set_mesh(make_mesh(MeshConfig(1, 2, 2, 2))):
        compare_with_definition(attend, q, k, v, packed_rows(128))
