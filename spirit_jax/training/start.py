"""Where a run's weights come from: random, or a converted checkpoint that fits the configuration."""

import jax
from jax.sharding import Mesh

from spirit_jax.config import RunConfig
from spirit_jax.model.llama import Llama, init_sharded
from spirit_jax.tokens.vocab import Vocabulary


def check_start(config: RunConfig, vocabulary: Vocabulary) -> None:
    """x"""


def start_model(config: RunConfig, mesh: Mesh) -> Llama:
    """x"""
    return init_sharded(config.model, jax.random.key(config.train.seed), mesh)
