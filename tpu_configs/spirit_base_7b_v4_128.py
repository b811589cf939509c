"""Spirit LM Base, 7B, on a v4-128 slice (64 chips)."""

from spirit_jax.config import MeshConfig, Remat, RunConfig
from tpu_configs.spirit import LLAMA2_7B, recipe


def config() -> RunConfig:
    """Four rows a chip, one after another."""
    return recipe(LLAMA2_7B, MeshConfig(fsdp=64, topology="v4:4x4x4"), Remat.SAVE_DOTS, accumulate=4)
