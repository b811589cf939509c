import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.config import Dtype, MeshConfig, Remat, RopeScaling
from spirit_jax.core.errors import UserError
from spirit_jax.model import cache as cache_module
from spirit_jax.model.array_store import named_arrays
from spirit_jax.model.cache import new_cache
from spirit_jax.model.llama import (
    abstract,
    flops_per_token,
    frequencies,
    init_sharded,
    is_param,
    rotate,
    rotation_of,
)
from spirit_jax.model.loss import loss_terms
from spirit_jax.sharding import make_mesh, place_batch
from tests.model.tiny import CONFIG, TEXT_SIZE, batch, made_of, model

LENGTH = 16


def rows_of(length: int = LENGTH, rows: int = 2) -> tuple[jax.Array, jax.Array]:
    tokens = jax.random.randint(jax.random.key(1), (rows, length), 0, CONFIG.rows)
    return tokens, jnp.broadcast_to(jnp.arange(length)[None], (rows, length))


forward = jax.jit(lambda llama, tokens_BT, positions_BT: llama(tokens_BT, positions_BT)[0])


@pytest.mark.parametrize(
    ("remat", "tied"),
    [
        (Remat.SAVE_DOTS, True),
        (Remat.SAVE_NARROW, False),
        (Remat.OFFLOAD, True),
        (Remat.FULL, False),
        (Remat.FULL, True),
    ],
)
def test_recomputation_changes_nothing(remat, tied):
    data = batch([[9, 7], [16]], LENGTH)
    slopes = jax.jit(jax.value_and_grad(lambda m: loss_terms(m, data, TEXT_SIZE)[0]))
    (loss, plain), (same, recomputed) = (slopes(model(remat=r, tied=tied)) for r in (Remat.NONE, remat))
    np.testing.assert_allclose(loss, same, rtol=1e-6)
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(recomputed)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_a_loop_over_layers_changes_nothing(monkeypatch):
    tokens, positions = rows_of()
    whole = forward(model(), tokens, positions)
    monkeypatch.setattr(cache_module, "UNROLLED_LAYERS", 0)
    np.testing.assert_allclose(
        jax.jit(lambda m: m(tokens, positions)[0])(model()), whole, rtol=1e-5, atol=1e-6
    )


def test_grouped_query_model_equals_the_one_with_repeated_heads():
    few = model(kv_heads=2)
    arrays = named_arrays(few)
    for name in ("layers.attention.k_DGK", "layers.attention.v_DGK"):
        arrays[name] = jnp.repeat(arrays[name], CONFIG.heads // 2, axis=2)
    tokens, positions = rows_of()
    np.testing.assert_allclose(
        forward(made_of(arrays, kv_heads=4), tokens, positions),
        forward(few, tokens, positions),
        rtol=1e-5,
        atol=1e-5,
    )


def test_tied_embedding_gets_both_gradients():
    data = batch([[16]], LENGTH)
    tied = model(tied=True)
    untied = made_of({**named_arrays(tied), "head_VD": tied.embed_VD[...]})
    gradient = jax.jit(jax.grad(lambda m: loss_terms(m, data, TEXT_SIZE)[0]))
    both, apart = gradient(tied), gradient(untied)
    np.testing.assert_allclose(
        both.embed_VD[...], apart.embed_VD[...] + apart.head_VD[...], rtol=1e-4, atol=1e-6
    )
    assert both.head_VD is None


def test_decoding_with_a_cache_equals_the_whole_row_for_prompts_of_unequal_length():
    llama, (tokens, positions), lengths = (
        model(rope_scaling=RopeScaling(original_max_position=8)),
        rows_of(),
        np.array([3, 7]),
    )
    whole = forward(llama, tokens, positions)
    prompt = int(lengths.max())
    step = jax.jit(lambda m, t, p, c: m(t, p, cache=c))
    logits, cache = step(llama, tokens[:, :prompt], positions[:, :prompt], new_cache(llama.cfg, 2, LENGTH))
    for row, length in enumerate(lengths):
        np.testing.assert_allclose(logits[row, :length], whole[row, :length], atol=2e-5)
    for offset in range(LENGTH - prompt):
        slots = jnp.asarray(lengths + offset)[:, None]
        logits, cache = step(llama, jnp.take_along_axis(tokens, slots, 1), slots, cache)
        for row in range(2):
            np.testing.assert_allclose(logits[row, 0], whole[row, lengths[row] + offset], atol=2e-5)


def test_decoding_in_a_while_loop_keeps_the_cache_shape():
    llama = model()

    def advance(state):
        step, token, cache = state
        logits, cache = llama(token, jnp.full((2, 1), step), cache=cache)
        return step + 1, logits.argmax(-1), cache

    start = (jnp.int32(0), jnp.ones((2, 1), jnp.int32), new_cache(llama.cfg, 2, 8))
    steps, _, cache = jax.jit(lambda s: jax.lax.while_loop(lambda s: s[0] < 5, advance, s))(start)
    assert steps == 5
    used = np.abs(np.stack(cache[0])).sum((0, 1, 2, 4))
    assert (used[:5] > 0).all()
    assert (used[5:] == 0).all()


def test_rotation_depends_on_distance_alone():
    x, y = (jax.random.normal(jax.random.key(i), (1, 1, 1, CONFIG.head_width)) for i in (1, 2))

    def score(at: int, other: int) -> jax.Array:
        return (
            rotate(x, rotation_of(jnp.array([[at]]), CONFIG))
            * rotate(y, rotation_of(jnp.array([[other]]), CONFIG))
        ).sum()

    np.testing.assert_allclose(score(7, 4), score(103, 100), rtol=1e-4)
    assert abs(score(7, 4) - score(7, 5)) > 1e-3


def test_scaled_frequencies_keep_the_fast_and_slow_the_slow():
    plain = frequencies(dataclasses.replace(CONFIG, head_width=64, rope_theta=500_000.0))
    scaled = frequencies(
        dataclasses.replace(CONFIG, head_width=64, rope_theta=500_000.0, rope_scaling=RopeScaling())
    )
    ratio = plain / scaled
    np.testing.assert_allclose(ratio[[0, -1]], [1, 8], rtol=1e-6)
    assert (np.diff(ratio) >= -1e-6).all()


def test_eight_devices_equal_one_in_loss_and_gradient():
    """To 1e-5 of the loss, of each gradient's norm and of its largest element: float32 sums in
    another order.
    """
    cfg, data = CONFIG, batch([[9, 7], [16], [3, 4, 5], [12]], LENGTH)
    results = []
    for sizes in (
        MeshConfig(1, 1, 1),
        MeshConfig(data=2, fsdp=2, tensor=2),
        MeshConfig(data=2, fsdp=2, context=2),
    ):
        mesh = make_mesh(sizes, jax.devices()[: 8 if results else 1])
        llama, placed = init_sharded(cfg, jax.random.key(3), mesh), place_batch(data, mesh)
        with jax.set_mesh(mesh):
            loss, gradient = jax.jit(jax.value_and_grad(lambda m, b: loss_terms(m, b, TEXT_SIZE)[0]))(
                llama, placed
            )
        results.append([np.asarray(x) for x in (loss, *jax.tree.leaves(gradient))])
    one, *others = results
    for eight in others:
        np.testing.assert_allclose(eight[0], one[0], rtol=1e-5)
        for a, b in zip(one, eight):
            assert np.linalg.norm(a - b) <= 1e-5 * np.linalg.norm(a)
            np.testing.assert_allclose(b, a, rtol=0, atol=1e-5 * float(np.abs(a).max()))


def test_init_is_the_same_to_the_bit_on_any_mesh_and_lives_where_it_should():
    one, eight = (
        init_sharded(CONFIG, jax.random.key(5), make_mesh(m, d))
        for m, d in ((MeshConfig(1, 1, 1), jax.devices()[:1]), (MeshConfig(2, 2, 2), None))
    )
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(eight)):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    assert eight.embed_VD[...].addressable_shards[0].data.shape == (CONFIG.rows // 2, CONFIG.width // 2)
    assert all(len(p.get_metadata("axes")) == p[...].ndim for p in jax.tree.leaves(one, is_leaf=is_param))


def test_a_mesh_that_does_not_divide_the_model_is_refused():
    with pytest.raises(UserError, match="axis kv_heads = 1: must be divisible by its 2 parts"):
        abstract(dataclasses.replace(CONFIG, kv_heads=1), make_mesh(MeshConfig(2, 2, 2)))


def test_bfloat16_activations_leave_parameters_float32():
    tokens, positions = rows_of()
    low, full = model(dtype=Dtype.BFLOAT16), model()
    logits = forward(low, tokens, positions)
    assert logits.dtype == jnp.float32
    assert {x.dtype for x in jax.tree.leaves(low)} == {jnp.dtype(jnp.float32)}
    np.testing.assert_allclose(logits, forward(full, tokens, positions), atol=0.15)


def test_flops_follow_parameters_and_length():
    llama = model()
    matrices = (
        sum(
            p[...].size
            for p in jax.tree.leaves(llama, is_leaf=is_param)
            if "norm" not in p.get_metadata("axes")
        )
        - llama.embed_VD[...].size
    )
    assert flops_per_token(CONFIG, 0) == 6 * matrices
    assert (
        flops_per_token(CONFIG, 10) - flops_per_token(CONFIG, 0)
        == 6 * CONFIG.layers * CONFIG.heads * CONFIG.head_width * 10
    )
