"""A small random Llama and its vocabulary, for tests."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from spirit_jax.config import Dtype, ModelConfig, Remat
from spirit_jax.generation.jobs import Job, generate
from spirit_jax.generation.sampling import GREEDY, Sampling
from spirit_jax.model.llama import Llama, is_param
from tests.speech_codes import make_vocabulary

VOCABULARY = make_vocabulary(text_size=60, units=30, pitches=6, styles=4)
CONFIG = ModelConfig(
    rows=VOCABULARY.rows(),
    width=32,
    layers=2,
    heads=4,
    kv_heads=2,
    head_width=8,
    mlp_width=48,
    dtype=Dtype.FLOAT32,
    remat=Remat.NONE,
)


def one_layer(rows: int) -> ModelConfig:
    """The smallest model that generates."""
    return dataclasses.replace(CONFIG, rows=rows, layers=1, heads=2, kv_heads=2, head_width=16, mlp_width=32)


def random_llama(cfg: ModelConfig, scale: float) -> Llama:
    """Drawn by numpy, which compiles nothing; `scale` makes its choices depend on the context."""
    rng = np.random.default_rng(0)

    def draw(variable):
        norm = variable.get_metadata("axes")[-1] == "norm"
        return jax.tree.map(
            lambda a: jnp.asarray(np.ones(a.shape) if norm else scale * rng.normal(size=a.shape), a.dtype),
            variable,
        )

    return jax.tree.map(draw, jax.eval_shape(lambda: Llama(cfg, jax.random.key(0))), is_leaf=is_param)


@functools.cache
def llama() -> Llama:
    return random_llama(CONFIG, 1.0)


@jax.jit
def _forward(model, tokens, positions):
    return model(tokens, positions)[0]


def logits_by_definition(ids) -> np.ndarray:
    """One sequence of at most 128 ids alone, without packing or cache: float32 [ids, rows]."""
    padded = np.zeros((1, 128), np.int32)
    padded[0, : len(ids)] = ids
    return np.asarray(_forward(llama(), padded, jnp.arange(128, dtype=jnp.int32)[None]))[0, : len(ids)]


def new_ids(
    model: Llama, prompts, forbidden_V, count: int, sampling: Sampling = GREEDY, seed: int = 0, eos: int = 2
) -> list[np.ndarray]:
    """What `generate` gives for prompts of ids."""
    jobs = [Job(np.asarray(ids, np.int32), forbidden_V, eos, count, sampling, seed) for ids in prompts]
    return [continuation.ids for continuation in generate(model, jobs)]
