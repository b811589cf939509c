"""The log-mel that the vocoder's loss compares (HiFi-GAN's, at 16 kHz), differentiable.

Legend: B rows, S samples, F frames, M mel bands.
"""

import functools

import jax
import jax.numpy as jnp
import librosa
import numpy as np

from spirit_jax.codec_training.config import MelConfig
from spirit_jax.speech.kernels.product import product
from spirit_jax.tokens.streams import SAMPLE_RATE

FLOOR = 1e-5  # of a band's amplitude
TINY = 1e-9  # under the root, whose gradient would be infinite at 0


def log_mel(wav_BS: jax.Array, cfg: MelConfig) -> jax.Array:
    """Natural-log mel amplitudes [B, F, M] of waves [B, S], reflected at their ends."""
    around = (cfg.window - cfg.hop) // 2
    padded_BS = jnp.pad(wav_BS, ((0, 0), (around, around)), mode="reflect")
    frames = (padded_BS.shape[1] - cfg.window) // cfg.hop + 1
    at_FS = np.arange(frames)[:, None] * cfg.hop + np.arange(cfg.window)
    spectrum = jnp.fft.rfft(padded_BS[:, at_FS] * _window(cfg.window)[None, None])
    amplitude = jnp.sqrt(jnp.square(spectrum.real) + jnp.square(spectrum.imag) + TINY)
    return jnp.log(jnp.maximum(product(amplitude, jnp.asarray(_filters(cfg))), FLOOR))


@functools.cache
def _window(size: int) -> np.ndarray:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)


@functools.cache
def _filters(cfg: MelConfig) -> np.ndarray:
    """float32 [window / 2 + 1, M]."""
    return librosa.filters.mel(sr=SAMPLE_RATE, n_fft=cfg.window, n_mels=cfg.bands).T.astype(np.float32)
