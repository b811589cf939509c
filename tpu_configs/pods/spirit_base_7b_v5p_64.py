"""Spirit LM Base, 7B, on a v5p-64 slice (32 chips)."""

from spirit_jax.config import MeshConfig, Remat, RunConfig
from tpu_configs.spirit import LLAMA2_7B, recipe


def config() -> RunConfig:
    """Eight rows a chip, four at a time."""
    return recipe(LLAMA2_7B, MeshConfig(fsdp=32, topology="v5p:2x4x4"), Remat.SAVE_DOTS, accumulate=2)
