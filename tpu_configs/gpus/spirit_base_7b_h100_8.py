"""Spirit LM Base, 7B, on one machine with eight H100s."""

from spirit_jax.config import MeshConfig, Remat, RunConfig
from tpu_configs.spirit import LLAMA2_7B, recipe


def config() -> RunConfig:
    """By analysis, unmeasured: 32 rows a device, one after another."""
    return recipe(LLAMA2_7B, MeshConfig(fsdp=8, topology="h100:8"), Remat.NONE, accumulate=32)
