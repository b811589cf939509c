"""A mel network for any codec, sized for two CPU cores (`make train-mel`). Its sizes are choices."""

from spirit_jax.codec_training.config import AdamConfig, MelNetworkRun, StepsConfig
from spirit_jax.config import CheckpointConfig


def config() -> MelNetworkRun:
    """The units folder and the codec are set on the command line."""
    return MelNetworkRun(
        train=StepsConfig(steps=9000, batch_rows=8, evaluate_every=0),
        optim=AdamConfig(rate=2e-3, b1=0.9, b2=0.99, decay=0.03, decay_steps=9000),
        checkpoint=CheckpointConfig(every_steps=1000),
    )
