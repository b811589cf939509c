"""Small float32 Llamas with weights that matter, packed batches, and the compiled functions that the tests share."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from spirit_jax.batch import Batch
from spirit_jax.config import Dtype, ModelConfig, Remat
from spirit_jax.model.llama import Llama
from spirit_jax.model.loss import loss_terms, token_nll
from spirit_jax.tokens.vocab import Vocabulary
from tests.generation.tiny import random_llama

VOCABULARY = Vocabulary(20, 20)
CONFIG = ModelConfig(
    rows=48, width=16, layers=2, heads=4, kv_heads=2, head_width=8, mlp_width=24, rope_theta=100.0, dtype=Dtype.FLOAT32, remat=Remat.NONE
)
LENGTH = 16
MODEL = random_llama(CONFIG, 0.5)

nll_of = jax.jit(token_nll)
forward = jax.jit(lambda llama, tokens_BT, positions_BT: llama(tokens_BT, positions_BT)[0])
loss_and_gradients = jax.jit(jax.value_and_grad(lambda llama, batch: loss_terms(llama, batch, VOCABULARY.text_size)[0]))


def weights_of(llama: Llama) -> dict[str, jax.Array]:
    """Arrays by the name of their place in the model."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(llama)}


def with_weights(cfg: ModelConfig, weights: dict[str, jax.Array]) -> Llama:
    """A model of another configuration with these arrays."""
    shapes = jax.eval_shape(lambda: Llama(cfg, jax.random.key(0)))
    return jax.tree_util.tree_map_with_path(lambda path, _: weights[jax.tree_util.keystr(path)], shapes)


def changed(**fields) -> Llama:
    """MODEL's weights in a configuration that differs in `fields`."""
    return with_weights(dataclasses.replace(CONFIG, **fields), weights_of(MODEL))


def documents(*lengths: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, VOCABULARY.size, length).astype(np.int32) for length in lengths]


def pack(rows: Sequence[Sequence[np.ndarray]]) -> Batch:
    """Each row holds its documents one after the other, then padding; all tokens but a document's last are inputs."""
    arrays = {name: np.zeros((len(rows), LENGTH), np.int32) for name in ("tokens", "targets", "segment_ids", "positions")}
    weights = np.zeros((len(rows), LENGTH), np.float32)
    for row, parts in enumerate(rows):
        start = 0
        for segment, ids in enumerate(parts, 1):
            here = np.s_[row, start : start + len(ids) - 1]
            arrays["tokens"][here], arrays["targets"][here] = ids[:-1], ids[1:]
            arrays["segment_ids"][here], arrays["positions"][here] = segment, np.arange(len(ids) - 1)
            weights[here] = 1
            start += len(ids) - 1
    return Batch(**{name: jnp.asarray(x) for name, x in arrays.items()}, loss_weights=jnp.asarray(weights))


def assert_close(got, expected, tolerance: float = 1e-5):
    """Equal trees up to `tolerance` times the largest value of each array."""
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(np.abs(b).max(), 1e-6))
