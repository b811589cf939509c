import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.config import Dtype
from spirit_jax.model import loss
from spirit_jax.model.loss import MODALITIES, cross_entropy, loss_terms, token_nll, weigh
from tests.model.tiny import CONFIG, TEXT_SIZE, batch, model, take

SPANS = [[9, 7], [7, 4]]


@jax.jit
def gradient(llama, data):
    """Gradient of the summed loss, and its parts."""
    return jax.grad(lambda m: loss_terms(m, data, TEXT_SIZE), has_aux=True)(llama)


def plain_loss(x, head, targets, weights):
    """The textbook's: all logits at once, differentiated by JAX."""
    logp = jax.nn.log_softmax(jnp.einsum("BTD,VD->BTV", x, head))
    return -(jnp.take_along_axis(logp, targets[:, :, None], -1)[:, :, 0] * weights).sum()


@pytest.mark.parametrize(
    "chunk_bytes", [2**26, 4 * 2 * 4 * CONFIG.rows, 1], ids=["whole", "chunks", "token by token"]
)
def test_value_and_gradient_equal_the_textbook(monkeypatch, chunk_bytes):
    monkeypatch.setattr(loss, "LOGITS_BYTES", chunk_bytes)
    x, head = (
        jax.random.normal(jax.random.key(0), (2, 16, 8)),
        jax.random.normal(jax.random.key(1), (CONFIG.rows, 8)),
    )
    targets, weights = (
        jax.random.randint(jax.random.key(2), (2, 16), 0, CONFIG.rows),
        jax.random.uniform(jax.random.key(3), (2, 16)),
    )
    value, slopes = jax.value_and_grad(
        lambda x, h: 3.0 * cross_entropy(x, h, targets, weights)[0], argnums=(0, 1)
    )(x, head)
    expected, expected_slopes = jax.value_and_grad(
        lambda x, h: 3.0 * plain_loss(x, h, targets, weights), argnums=(0, 1)
    )(x, head)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(cross_entropy(x, head, targets, weights)[0] * 3, expected, rtol=1e-5)
    for ours, theirs in zip(slopes, expected_slopes):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_packed_documents_have_the_loss_and_gradient_of_documents_alone():
    llama, packed = model(), batch(SPANS, 16)
    together, terms = gradient(llama, packed)
    alone = jax.tree.map(jnp.zeros_like, together)
    total = 0.0
    for row, lengths in enumerate(SPANS):
        for start, count in zip(np.cumsum([0, *lengths]), lengths):
            slopes, parts = gradient(llama, take(packed, row, slice(start, start + count)))
            alone, total = jax.tree.map(jnp.add, alone, slopes), total + parts["nll"].sum()
    np.testing.assert_allclose(terms["nll"].sum(), total, rtol=1e-5)
    for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(alone)):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_padding_and_unweighted_targets_have_no_part():
    llama, data = model(), batch(SPANS, 16)
    other = dataclasses.replace(
        data,
        targets=np.where(data.loss_weights > 0, data.targets, 7),
        tokens=np.where(data.segment_ids > 0, data.tokens, 9),
    )
    for a, b in zip(*(jax.tree.leaves(gradient(llama, d)[0]) for d in (data, other))):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_modalities_split_the_sum_by_the_target():
    llama, data = model(), batch(SPANS, 16)
    total, terms = jax.jit(loss_terms, static_argnums=2)(llama, data, TEXT_SIZE)
    nll, weights, targets = np.asarray(jax.jit(token_nll)(llama, data)), data.loss_weights, data.targets
    kinds = {
        "text": targets < TEXT_SIZE,
        "tag": (targets >= TEXT_SIZE) & (targets < TEXT_SIZE + 2),
        "speech": targets >= TEXT_SIZE + 2,
    }
    for index, name in enumerate(MODALITIES):
        np.testing.assert_allclose(terms["nll"][index], (nll * weights)[kinds[name]].sum(), rtol=1e-5)
        np.testing.assert_allclose(terms["weight"][index], weights[kinds[name]].sum())
    np.testing.assert_allclose(total, terms["nll"].sum(), rtol=1e-5)


def test_text_counts_as_often_as_asked_and_the_figures_stay():
    llama, data = model(), batch(SPANS, 16)
    terms_of = jax.jit(jax.grad(loss_terms, has_aux=True), static_argnums=(2, 3, 4))
    slopes, terms = terms_of(llama, data, TEXT_SIZE, 1, 3.0)
    often = np.where(data.targets < TEXT_SIZE, 3, 1).astype(np.float32)
    heavy = dataclasses.replace(data, loss_weights=data.loss_weights * often)
    expected, plain = terms_of(llama, heavy, TEXT_SIZE)[0], terms_of(llama, data, TEXT_SIZE)[1]
    for a, b in zip(jax.tree.leaves(slopes), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    for name, sums in plain.items():
        np.testing.assert_array_equal(terms[name], sums)
    np.testing.assert_allclose(weigh(terms["weight"], 3.0), heavy.loss_weights.sum(), rtol=1e-6)


def test_bfloat16_loss_is_float32_and_near():
    data = batch(SPANS, 16)
    low, full = (
        jax.jit(loss_terms, static_argnums=2)(model(dtype=dtype), data, TEXT_SIZE)[0]
        for dtype in (Dtype.BFLOAT16, Dtype.FLOAT32)
    )
    assert low.dtype == jnp.float32
    np.testing.assert_allclose(low, full, rtol=0.02)


def test_no_array_has_the_size_of_all_logits(monkeypatch):
    monkeypatch.setattr(loss, "LOGITS_BYTES", 4 * 2 * 4 * CONFIG.rows)
    x, head = jnp.ones((2, 16, 8)), jnp.ones((CONFIG.rows, 8))
    targets, weights = jnp.ones((2, 16), jnp.int32), jnp.ones((2, 16))
    program = str(
        jax.make_jaxpr(jax.grad(lambda x, h: cross_entropy(x, h, targets, weights)[0], argnums=(0, 1)))(
            x, head
        )
    )
    assert f"f32[2,4,{CONFIG.rows}]" in program
    assert f"f32[2,16,{CONFIG.rows}]" not in program
