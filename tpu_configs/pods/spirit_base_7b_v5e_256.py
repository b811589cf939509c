"""Spirit LM Base, 7B, on a v5e-256 slice (256 chips)."""

from spirit_jax.config import Dtype, MeshConfig, Remat, RunConfig
from tpu_configs.spirit import LLAMA2_7B, recipe


def config() -> RunConfig:
    """One row a chip."""
    return recipe(
        LLAMA2_7B,
        MeshConfig(fsdp=256, topology="v5e:16x16"),
        Remat.SAVE_NARROW,
        reduce_dtype=Dtype.BFLOAT16,
    )
