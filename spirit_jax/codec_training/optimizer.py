"""The optimizer of the codec's parts."""

from typing import Any, TypeVar, cast

import jax
import optax

from spirit_jax.codec_training.config import AdamConfig

M = TypeVar("M")


def adam(cfg: AdamConfig) -> optax.GradientTransformation:
    """Adam with an exponentially falling rate."""
    return optax.adam(optax.exponential_decay(cfg.rate, cfg.decay_steps, cfg.decay), cfg.b1, cfg.b2)


def update(optimizer: optax.GradientTransformation, network: M, grads: M, opt: Any) -> tuple[M, Any]:
    """The network and the optimizer's state after one update."""
    with jax.numpy_dtype_promotion("standard"):  # optax mixes its integer counter with floats
        updates, opt = optimizer.update(grads, opt, network)
        return cast(M, optax.apply_updates(network, updates)), opt
