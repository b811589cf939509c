"""The smallest run there is: a minute on two CPU cores, on the shards that `make demo` leaves (`--root
runs/demo/base`).
"""

import dataclasses

from spirit_jax.config import CheckpointConfig, RunConfig, TrainConfig
from tpu_configs.local import demo_base_cpu


def config() -> RunConfig:
    """The demo's mixture and vocabulary in a model of two layers, from random weights."""
    base = demo_base_cpu.config()
    return dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, layers=2, width=64, heads=1, kv_heads=1, mlp_width=176),
        train=TrainConfig(steps=200, batch_rows=4),
        checkpoint=CheckpointConfig(every_steps=100),
    )
