"""Spirit LM Base, 7B, on a v5p-128 slice (64 chips)."""

from spirit_jax.config import MeshConfig, Remat, RunConfig
from tpu_configs.spirit import LLAMA2_7B, recipe


def config() -> RunConfig:
    """Four rows a chip; split over 16 chips and not over 64, so that weights are gathered by all-gathers
    (docs/pods.md).
    """
    return recipe(LLAMA2_7B, MeshConfig(data=4, fsdp=16, topology="v5p:4x4x4"), Remat.SAVE_DOTS)
