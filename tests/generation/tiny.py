"""A small random Llama and its vocabulary, for tests."""

import functools

import jax

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
    return jax.tree.map(lambda w: w * scale if w.ndim > 2 or w.shape[0] == CONFIG.rows else w, Llama(CONFIG, jax.random.key(0)))
