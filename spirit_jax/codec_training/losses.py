"""The vocoder's losses: mel, features, least-squares adversarial (Kong et al. 2020, section 2.3), durations.
All are means, scalars.

Legend: B rows, S samples, N units.
"""

import jax
import jax.numpy as jnp

from spirit_jax.codec_training.config import MelConfig
from spirit_jax.codec_training.mel import log_mel

Layers = list[list[jax.Array]]  # for each discriminator, the output of each layer


def mel_distance(wav_BS: jax.Array, true_BS: jax.Array, cfg: MelConfig) -> jax.Array:
    """Mean absolute difference of log-mels, in nats."""
    return jnp.abs(log_mel(wav_BS, cfg) - log_mel(true_BS, cfg)).mean()


def feature_distance(made: Layers, true: Layers) -> jax.Array:
    """Sum over layers, the last one included, of the mean absolute difference."""
    pairs = [(a, b) for layers in zip(made, true) for a, b in zip(*layers)]
    return jnp.stack([jnp.abs(a - jax.lax.stop_gradient(b)).mean() for a, b in pairs]).sum()


def generator_loss(made: Layers) -> jax.Array:
    """Squared distance of the discriminators' outputs for made sound from 1, summed over discriminators."""
    return jnp.stack([jnp.square(1 - layers[-1]).mean() for layers in made]).sum()


def discriminator_loss(made: Layers, true: Layers) -> jax.Array:
    """Squared distance of the discriminators' outputs for true sound from 1 and for made sound from 0, summed
    over discriminators.
    """
    return jnp.stack(
        [jnp.square(1 - b[-1]).mean() + jnp.square(a[-1]).mean() for a, b in zip(made, true)]
    ).sum()


def duration_error(predicted_BN: jax.Array, frames_BN: jax.Array, count_B: jax.Array) -> jax.Array:
    """Mean square of predicted log(1 + frames) less the true; of row b the first count_B[b] units count."""
    inside_BN = jnp.arange(frames_BN.shape[1])[None] < count_B[:, None]
    square_BN = jnp.square(predicted_BN - jnp.log1p(frames_BN))
    return jnp.where(inside_BN, square_BN, 0).sum() / jnp.maximum(inside_BN.sum(), 1).astype(square_BN.dtype)
