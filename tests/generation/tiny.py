"""A small random Llama and its vocabulary, for tests."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from spirit_jax.config import Dtype, ModelConfig, Remat
from spirit_jax.model.llama import Llama
from spirit_jax.tokens.vocab import Vocabulary

VOCABULARY = Vocabulary(text_size=60, units=30, pitches=6, styles=4)
CONFIG = ModelConfig(
    rows=VOCABULARY.rows(), width=32, layers=2, heads=4, kv_heads=2, head_width=8, mlp_width=48, dtype=Dtype.FLOAT32, remat=Remat.NONE
)


@functools.cache
def llama(scale: float = 8.0) -> Llama:
    """Weights large enough that its choices depend on the context."""

    def make():
        return jax.tree.map(lambda w: w * scale if w.ndim > 2 or w.shape[0] == CONFIG.rows else w, Llama(CONFIG, jax.random.key(0)))

    return jax.jit(make)()


@jax.jit
def _forward(model, tokens, positions):
    return model(tokens, positions)[0]


def logits_by_definition(ids) -> np.ndarray:
    """One sequence of at most 128 ids alone, without packing or cache: float32 [ids, rows]."""
    padded = np.zeros((1, 128), np.int32)
    padded[0, : len(ids)] = ids
    return np.asarray(_forward(llama(), padded, jnp.arange(128, dtype=jnp.int32)[None]))[0, : len(ids)]
