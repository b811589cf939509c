"""Spirit LM Base, 7B, on a v6e-64 slice (64 chips)."""

from spirit_jax.config import Dtype, MeshConfig, Remat, RunConfig
from tpu_configs.spirit import LLAMA2_7B, recipe


def config() -> RunConfig:
    """Four rows a chip, one after another."""
    return recipe(
        LLAMA2_7B,
        MeshConfig(fsdp=64, topology="v6e:8x8"),
        Remat.SAVE_DOTS,
        accumulate=4,
        reduce_dtype=Dtype.BFLOAT16,
    )
