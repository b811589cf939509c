"""Spirit LM Base, 7B, on two v5e-256 slices (512 chips) joined by the data-centre network."""

from spirit_jax.config import Dtype, MeshConfig, Remat, RunConfig
from tpu_configs.spirit import LLAMA2_7B, recipe


def config() -> RunConfig:
    """Each row is split over two chips, so that 512 chips share the paper's 256 rows; gradients cross between
    the slices once a step.
    """
    return recipe(
        LLAMA2_7B,
        MeshConfig(data=2, fsdp=128, context=2, topology="v5e:16x16", slices=2),
        Remat.SAVE_DOTS,
        reduce_dtype=Dtype.BFLOAT16,
    )
