"""Spirit LM Base, 7B, on a v5p-128 slice (64 chips)."""

from spirit_jax.config import MeshConfig, Remat, RunConfig
from tpu_configs.spirit import LLAMA2_7B, recipe


def config() -> RunConfig:
    """Four rows a chip."""
    return recipe(LLAMA2_7B, MeshConfig(fsdp=64, topology="v5p:4x4x4"), Remat.SAVE_DOTS)
