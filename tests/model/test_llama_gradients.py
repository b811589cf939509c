"""What gradients say about the model: which tokens an output depends on, and that equivalent computations
agree.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.model.array_store import named_arrays
from spirit_jax.model.llama import Llama
from spirit_jax.model.loss import loss_terms
from tests.model.tiny import CONFIG, TEXT_SIZE, batch, made_of, model

LENGTH = 8
value_and_slopes = jax.jit(jax.value_and_grad(lambda llama, data: loss_terms(llama, data, TEXT_SIZE)[0]))


def dependence(llama: Llama, segments: jax.Array) -> np.ndarray:
    """How much the output at each token depends on each token's embedding: norms of the Jacobian [T outputs,
    T inputs].
    """
    positions = jnp.arange(LENGTH)[None]

    def outputs(table):
        embed = jnp.concatenate([table, jnp.zeros((CONFIG.rows - LENGTH, CONFIG.width))])
        hidden = made_of({**named_arrays(llama), "embed_VD": embed}).hidden(positions, positions, segments)[0]
        return (hidden[0] * jnp.arange(1.0, CONFIG.width + 1)[None]).sum(-1)

    table = jax.random.normal(jax.random.key(2), (LENGTH, CONFIG.width))
    return np.linalg.norm(np.asarray(jax.jit(jax.jacrev(outputs))(table)), axis=-1)


@pytest.mark.parametrize(
    "segments", [[1] * 8, [1, 1, 1, 2, 2, 3, 0, 0]], ids=["one document", "packed documents and padding"]
)
def test_a_token_depends_on_itself_and_those_before_it_in_its_document_alone(segments):
    ids = np.array(segments)
    may = np.tril(ids[:, None] == ids[None, :])
    norms = dependence(model(), jnp.asarray(ids)[None])
    assert (norms[may] > 1e-6).all()
    assert (norms[~may] == 0).all()


def test_a_row_of_padding_alone_has_no_loss_and_no_gradient():
    data = batch([[], []], LENGTH)
    loss, slopes = value_and_slopes(model(), data)
    assert loss == 0
    assert all((np.asarray(leaf) == 0).all() for leaf in jax.tree.leaves(slopes))


def test_a_row_of_padding_next_to_others_changes_nothing():
    loss, slopes = value_and_slopes(model(), batch([[5, 3]], LENGTH))
    padded_loss, with_padding = value_and_slopes(model(), batch([[5, 3], []], LENGTH))
    np.testing.assert_allclose(loss, padded_loss, rtol=1e-6)
    for a, b in zip(jax.tree.leaves(slopes), jax.tree.leaves(with_padding)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_gradients_of_shared_heads_are_sums_of_those_of_repeated_heads():
    few, repeats, data = model(), CONFIG.heads // CONFIG.kv_heads, batch([[5, 3], [8]], LENGTH)
    arrays, shared = named_arrays(few), ("layers.attention.k_DGK", "layers.attention.v_DGK")
    many = made_of(
        {n: jnp.repeat(a, repeats, axis=2) if n in shared else a for n, a in arrays.items()},
        kv_heads=CONFIG.heads,
    )
    (loss, ours), (same, theirs) = value_and_slopes(few, data), value_and_slopes(many, data)
    np.testing.assert_allclose(loss, same, rtol=1e-6)
    theirs = named_arrays(theirs)
    for name, slope in named_arrays(ours).items():
        other = np.asarray(theirs[name])
        if name in shared:
            other = other.reshape(*slope.shape[:3], repeats, -1).sum(3)
        np.testing.assert_allclose(slope, other, rtol=1e-4, atol=1e-5 * np.abs(other).max(), err_msg=name)
