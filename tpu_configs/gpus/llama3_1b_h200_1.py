"""Llama 3.2 1B continued on speech and text, Base units, on one H200: for trying things. Choices of ours."""

from spirit_jax.config import MeshConfig, Remat, RunConfig
from tpu_configs.spirit import LLAMA3_1B, recipe


def config() -> RunConfig:
    """By analysis: 64 rows a step, eight at a time, of which one such part was measured (docs/pods.md)."""
    return recipe(LLAMA3_1B, MeshConfig(topology="h200:1"), Remat.NONE, accumulate=8, rows=64)
