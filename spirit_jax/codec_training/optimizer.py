"""The optimizer of the codec's parts."""

import optax

from spirit_jax.codec_training.recipes import AdamConfig


def adam(cfg: AdamConfig) -> optax.GradientTransformation:
    """Adam with an exponentially falling rate."""
    return optax.adam(optax.exponential_decay(cfg.rate, cfg.decay_steps, cfg.decay), cfg.b1, cfg.b2)
