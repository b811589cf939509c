"""Spirit LM Base, 7B, on a v4-128 slice (64 chips)."""

from spirit_jax.config import Dtype, MeshConfig, Remat, RunConfig
from tpu_configs.spirit import LLAMA2_7B, recipe


def config() -> RunConfig:
    """Four rows a chip, one after another; split over 16 chips and not over 64, so that weights are gathered
    by all-gathers (docs/pods.md).
    """
    return recipe(
        LLAMA2_7B,
        MeshConfig(data=4, fsdp=16, topology="v4:4x4x4"),
        Remat.SAVE_DOTS,
        accumulate=4,
        reduce_dtype=Dtype.BFLOAT16,
    )
