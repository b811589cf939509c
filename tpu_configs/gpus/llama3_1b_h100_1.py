"""Llama 3.2 1B continued on speech and text, Base units, on one H100: for trying things. Choices of ours."""

from spirit_jax.config import MeshConfig, Remat, RunConfig
from tpu_configs.spirit import LLAMA3_1B, recipe


def config() -> RunConfig:
    """By analysis, unmeasured: 64 rows a step, four at a time."""
    return recipe(LLAMA3_1B, MeshConfig(topology="h100:1"), Remat.NONE, accumulate=16, rows=64)
