"""Small models and batches for the tests of the model."""

import dataclasses

import jax
import numpy as np

from spirit_jax.config import Dtype, ModelConfig, Remat
from spirit_jax.model.array_store import named_arrays
from spirit_jax.model.batch import Batch
from spirit_jax.model.llama import Llama

CONFIG = ModelConfig(
    rows=64,
    width=32,
    layers=2,
    heads=4,
    kv_heads=2,
    head_width=8,
    mlp_width=48,
    rope_theta=100.0,
    dtype=Dtype.FLOAT32,
    remat=Remat.NONE,
)
TEXT_SIZE = 40


def model(seed: int = 0, **changes) -> Llama:
    return Llama(dataclasses.replace(CONFIG, **changes), jax.random.key(seed))


def batch(segments: list[list[int]], length: int, seed: int = 0, rows: int = CONFIG.rows) -> Batch:
    """Rows of packed documents of these lengths, padded to `length`; targets are the next tokens of the
    document.
    """
    rng = np.random.default_rng(seed)
    tokens, targets, ids, positions = (np.zeros((len(segments), length), np.int32) for _ in range(4))
    weights = np.zeros((len(segments), length), np.float32)
    for row, lengths in enumerate(segments):
        at = 0
        for number, count in enumerate(lengths, 1):
            document, span = rng.integers(1, rows, count), slice(at, at + count)
            tokens[row, span], ids[row, span], positions[row, span] = document, number, np.arange(count)
            targets[row, at : at + count - 1], weights[row, at : at + count - 1] = document[1:], 1
            at += count
    return Batch(tokens, targets, weights, ids, positions)


def take(batch: Batch, row: int, span: slice) -> Batch:
    """One document of a batch as a batch."""
    part = jax.tree.map(lambda x: x[row : row + 1, span], batch)
    return dataclasses.replace(part, segment_ids=np.ones_like(part.segment_ids))


def made_of(arrays: dict[str, jax.Array], **changes) -> Llama:
    """A model of CONFIG, with changes, that holds these arrays."""
    shapes = jax.eval_shape(lambda: model(**changes))
    return jax.tree.unflatten(jax.tree.structure(shapes), [arrays[name] for name in named_arrays(shapes)])
