"""Llama 3.1 8B continued on speech and text, Base units, on a v5p-128 slice (64 chips). No paper has trained
this: choices of ours. Llama 3 8B needs `--set model.rope_scaling=null`.
"""

from spirit_jax.config import MeshConfig, Remat, RunConfig
from tpu_configs.spirit import LLAMA3_8B, recipe


def config() -> RunConfig:
    """Four rows a chip; split over 16 chips and not over 64, so that weights are gathered by all-gathers
    (docs/pods.md).
    """
    return recipe(LLAMA3_8B, MeshConfig(data=4, fsdp=16, topology="v5p:4x4x4"), Remat.SAVE_DOTS)
