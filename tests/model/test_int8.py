"""Weights in int8: near the weights they were made of, and used as what they stand for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.model import int8
from spirit_jax.model.int8 import quantize_weights
from spirit_jax.model.linear import widen
from spirit_jax.model.llama import Llama, is_param
from spirit_jax.model.loss import loss_terms
from tests.model.tiny import TEXT_SIZE, batch, model

pytest.importorskip("qwix")


def widened(llama: Llama) -> Llama:
    """The model with the float32 weights that its int8 stands for."""
    return jax.tree.map(
        lambda v: v.copy(value=widen(v[...], jnp.float32)) if hasattr(v[...], "qvalue") else v,
        llama,
        is_leaf=is_param,
    )


def sizes(llama: Llama) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(llama))


@pytest.fixture(scope="module")
def pair() -> tuple[Llama, Llama]:
    llama = model()
    return llama, quantize_weights(llama)


def test_each_weight_is_half_a_step_off_at_most(pair):
    llama, narrow = pair
    before, after = (jax.tree.leaves(one, is_leaf=is_param) for one in pair)
    matrices = 0
    for old, new in zip(before, after, strict=True):
        if not hasattr(new[...], "qvalue"):
            assert "norm" in old.get_metadata("axes")
            np.testing.assert_array_equal(old[...], new[...])
            continue
        matrices += 1
        steps = np.abs(np.asarray(old[...]) - np.asarray(widen(new[...], jnp.float32))) / new[...].scale
        assert steps.max() <= 0.5 + 1e-3
        assert np.abs(new[...].qvalue).max() == 127
    assert matrices == 8 + (llama.head_VD is not None)


def test_a_byte_a_weight(pair):
    llama, narrow = pair
    assert sizes(narrow) < 0.35 * sizes(llama)  # the scales of a tiny model are no small part


def test_logits_and_losses_are_those_of_the_weights_it_stands_for(pair):
    narrow, plain = pair[1], widened(pair[1])
    given = batch([[7, 9], [12]], 16)
    positions = jnp.broadcast_to(jnp.arange(given.tokens.shape[1])[None], given.tokens.shape)
    logits = [llama(given.tokens, positions)[0] for llama in (narrow, plain)]
    np.testing.assert_allclose(*logits, rtol=1e-4, atol=1e-4)  # a scale before or after the sum
    losses = [loss_terms(llama, given, TEXT_SIZE)[0] for llama in (narrow, plain)]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_without_qwix_the_error_names_the_file(monkeypatch):
    def missing(name: str):
        raise ImportError(name)

    monkeypatch.setattr(int8.importlib, "import_module", missing)
    with pytest.raises(UserError, match="requirements-int8"):
        quantize_weights(model())
