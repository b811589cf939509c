"""Mel-frequency cepstra: the features of the weight-free phonetic units, and of HuBERT's first training
targets.

Legend: H hops, S samples, F frames (10 ms), M mel bands, N units (40 ms), D features of a unit. A wav of n
samples has n // 640 units; unit i covers samples 640 i to 640 (i + 1) and four frames centred inside it.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from spirit_jax.core.batching import map_frames
from spirit_jax.speech.kernels.product import product
from spirit_jax.tokens.streams import SAMPLE_RATE

HOP = 160
WINDOW = 400
N_FFT = 512
MELS = 64
CEPSTRA = 13
FRAMES_PER_UNIT = 4
UNIT_HOP = HOP * FRAMES_PER_UNIT
# our choice; measured: units then hold half as much information on the speaker
WARPS = (0.80, 0.85, 0.90, 0.95, 1.00, 1.05, 1.10, 1.15, 1.20)
PLAIN = WARPS.index(1.00)
# over 50 ms; our choice; measured: units then hold more information on the phone
SMOOTHING = (np.hanning(7)[1:-1] / np.hanning(7).sum()).astype(np.float32)
FLOOR = 1e-5  # of the utterance's mean power: -50 dB; our choice


def unit_count(samples: int) -> int:
    """Units of a wav: whole 40 ms steps."""
    return samples // UNIT_HOP


def log_mel(wavs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Natural-log mel power relative to each wav's mean power, floored: float32 [4 units, 64] for each wav at
    16 kHz.
    """
    level = [wav / np.sqrt(np.mean(np.square(wav)) + 1e-12) for wav in wavs]
    counts = [FRAMES_PER_UNIT * unit_count(len(wav)) for wav in wavs]
    return map_frames(_log_mel_kernel, level, counts, HOP, before=(WINDOW - HOP) // 2, context=2)


def unit_features(log_mel_FM: np.ndarray, warps: Sequence[int] = range(len(WARPS))) -> np.ndarray:
    """The features of each unit for k-means, for these of WARPS: float32 [warps, units, 52].

    13 cepstra less the utterance's mean cepstrum, smoothed over 50 ms, of four frames, concatenated.
    """
    centred_FM = np.pad(
        log_mel_FM - log_mel_FM.mean(axis=0), ((len(SMOOTHING) // 2,) * 2, (0, 0)), mode="edge"
    )
    smooth_FM = SMOOTHING[0] * centred_FM[: len(log_mel_FM)]
    for i, weight in enumerate(SMOOTHING[1:], 1):
        smooth_FM += weight * centred_FM[i : i + len(log_mel_FM)]
    cepstra_AFC = np.stack([smooth_FM @ _warped_dcts()[warp] for warp in warps])
    return cepstra_AFC.reshape(len(warps), -1, FRAMES_PER_UNIT * CEPSTRA)


def neighbour_features(log_mel_FM: np.ndarray) -> np.ndarray:
    """The features of each unit, not warped, between those of its neighbours; at an end its own stand for
    those of the neighbour that is missing: float32 [units, 156].
    """
    x_ND = unit_features(log_mel_FM, warps=(PLAIN,))[0]
    padded = np.concatenate([x_ND[:1], x_ND, x_ND[-1:]])
    return np.concatenate([padded[:-2], x_ND, padded[2:]], axis=1)


@functools.cache
def warp_matrix(warp: int) -> np.ndarray:
    """Warps log-mels [F, 64] by multiplication from the right, as for a vocal tract WARPS[warp] times as
    short: float32 [64, 64].
    """
    centres = _mel_edges()[1:-1]
    position = np.interp(centres * WARPS[warp], centres, np.arange(MELS))
    return np.maximum(0, 1 - np.abs(np.arange(MELS)[:, None] - position)).astype(np.float32)


@functools.cache
def mel_matrix() -> np.ndarray:
    """Triangular filters on the HTK mel scale, each summing to 1, so that white noise has a flat spectrum:
    float32 [257, 64].
    """
    edges = _mel_edges()
    bins = np.arange(N_FFT // 2 + 1) * SAMPLE_RATE / N_FFT
    rise = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0, np.minimum(rise, fall))
    return (filters / filters.sum(axis=0)).astype(np.float32)


@functools.cache
def dct_matrix(count: int = CEPSTRA) -> np.ndarray:
    """The orthonormal DCT-II's first rows: float32 [count, 64]."""
    angles = np.pi / MELS * np.outer(np.arange(count), np.arange(MELS) + 0.5)
    rows = np.cos(angles) * np.sqrt(2 / MELS)
    rows[0] /= np.sqrt(2)
    return rows.astype(np.float32)


@functools.cache
def analysis_window() -> np.ndarray:
    """A Hann window of unit energy: float32 [400]."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(WINDOW) + 0.5) / WINDOW)
    return (window / np.sqrt(np.square(window).sum())).astype(np.float32)


def _mel_edges() -> np.ndarray:
    """The filters' corners in Hz, even on the mel scale: [66]."""
    return 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700), MELS + 2) / 2595) - 1)


@functools.cache
def _warped_dcts() -> list[np.ndarray]:
    """From log-mel to cepstra for each warp: float32 [64, 13] each."""
    return [warp_matrix(warp) @ dct_matrix().T for warp in range(len(WARPS))]


@jax.jit
def _log_mel_kernel(hops_HS: jax.Array) -> jax.Array:
    frames_FS = jnp.concatenate([hops_HS[:-2], hops_HS[1:-1], hops_HS[2:, : WINDOW - 2 * HOP]], axis=1)
    spectrum = jnp.fft.rfft(frames_FS * analysis_window()[None], N_FFT)
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    return jnp.log(jnp.maximum(product(power, jnp.asarray(mel_matrix())), FLOOR))
