"""Fundamental frequency by normalised cross-correlation (after RAPT, Talkin 1995).

Legend: H hops, S samples of a hop, F frames (5 ms), W samples of the correlated stretch, L lags. Samples
inside are at 4 kHz.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from spirit_jax.core.batching import map_frames
from spirit_jax.speech.kernels.product import product
from spirit_jax.tokens.streams import SAMPLE_RATE

HOP = 80  # 5 ms
DECIMATION = 4
RATE = SAMPLE_RATE // DECIMATION
F0_MIN, F0_MAX = 60.0, 500.0  # Hz; our choice: speech and song of most voices
CORRELATED = 120  # 30 ms: two periods at 67 Hz
LAGS = int(RATE / F0_MIN) + 2
LAG_MIN = int(RATE / F0_MAX)
N_FFT = 256
VOICED = 0.7  # least correlation of a voiced frame; our choice
# correlation taken off the longest lag, so that a period wins over its multiples; our choice
LAG_PENALTY = 0.15
FARTHEST = 1.2  # octaves from the utterance's median; our choice
QUIET = 1e-3  # power of a frame over the wav's mean below which nothing is voiced: -30 dB; our choice
CUTOFF = 1000.0  # Hz; our choice: harmonics above make peaks too sharp for the lags of 4 kHz
TAPS = 161  # of the low-pass filter at 16 kHz: a whole number of hops, plus one

STRETCH = CORRELATED + LAGS
CENTRE = CORRELATED // 2 + 15  # the middle of both periods of a 133 Hz voice
HOP_4K = HOP // DECIMATION
CONTEXT_4K = -(-STRETCH // HOP_4K) - 1  # further hops that a frame reads
CONTEXT = CONTEXT_4K + (TAPS - 1) // HOP


def track_f0(wavs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """F0 in Hz, 0 where unvoiced: float32 [len // 80 + 1] at 200 Hz for each wav at 16 kHz. Frame j is
    centred on sample 80 j.
    """
    centred = [
        wav - np.mean(wav) for wav in wavs
    ]  # else the power of a constant offset makes quiet speech unvoiced
    level = [wav / np.sqrt(np.mean(np.square(wav)) + 1e-12) for wav in centred]
    before = (TAPS - 1) // 2 + CENTRE * DECIMATION
    frames = map_frames(_f0_kernel, level, [len(wav) // HOP + 1 for wav in wavs], HOP, before, CONTEXT)
    return [_drop_specks(frame_F2[:, 0]) for frame_F2 in frames]


def _drop_specks(f0_F: np.ndarray) -> np.ndarray:
    """F0 with octave slips, against the 45 ms around and the whole utterance, and voiced runs under 20 ms set
    to unvoiced.
    """
    if f0_F.any():
        far = np.abs(np.log2(np.maximum(f0_F, 1) / np.median(f0_F[f0_F > 0]))) > FARTHEST
        f0_F = np.where(far, 0, f0_F)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(f0_F, 4), 9)
    count = (windows > 0).sum(1)
    median = np.sort(windows, axis=1)[np.arange(len(f0_F)), np.clip(8 - count // 2, 0, 8)]
    steady = (f0_F > 0) & (count >= 4) & (np.abs(np.log2(np.maximum(f0_F, 1) / np.maximum(median, 1))) < 0.35)
    return np.where(steady, f0_F, 0).astype(np.float32)


@functools.cache
def _decimator() -> np.ndarray:
    """A windowed-sinc low-pass and decimation by 4 as one matrix: [TAPS - 1 + HOP, HOP / 4]."""
    t = np.arange(TAPS) - TAPS // 2
    taps = np.sinc(2 * CUTOFF * t / SAMPLE_RATE) * np.blackman(TAPS)
    matrix = np.zeros((TAPS - 1 + HOP, HOP_4K), np.float32)
    for i in range(HOP_4K):
        matrix[i * DECIMATION : i * DECIMATION + TAPS, i] = taps / taps.sum()
    return matrix


@jax.jit
def _f0_kernel(hops_HS: jax.Array) -> jax.Array:
    near_HS = _side_by_side(hops_HS, (TAPS - 1) // HOP)
    low_HS = product(near_HS, jnp.asarray(_decimator()))
    stretch_FW = _side_by_side(low_HS, CONTEXT_4K)[:, :STRETCH]
    return _correlate(stretch_FW)


def _side_by_side(hops_HS: jax.Array, context: int) -> jax.Array:
    """Each hop with the `context` hops after it: [H - context, (context + 1) S]."""
    frames = hops_HS.shape[0] - context
    return jnp.concatenate([hops_HS[i : i + frames] for i in range(context + 1)], axis=1)


def _correlate(stretch_FW: jax.Array) -> jax.Array:
    """F0 (0 if unvoiced) and the best correlation of each stretch: [F, 2]."""
    stretch_FW = stretch_FW - stretch_FW.mean(1, keepdims=True)
    head = jnp.fft.rfft(stretch_FW[:, :CORRELATED], N_FFT)
    whole = jnp.fft.rfft(stretch_FW, N_FFT)
    product_FL = jnp.fft.irfft(jnp.conj(head) * whole, N_FFT)[:, :LAGS]
    sums = jnp.cumsum(jnp.square(stretch_FW), axis=1)
    energy_FL = sums[:, CORRELATED - 1 : CORRELATED - 1 + LAGS] - jnp.pad(sums, ((0, 0), (1, 0)))[:, :LAGS]
    ncc_FL = product_FL / jnp.sqrt(energy_FL[:, :1] * energy_FL + 1e-6)
    return _pick(ncc_FL, energy_FL[:, 0] / CORRELATED)


def _pick(ncc_FL: jax.Array, power_F: jax.Array) -> jax.Array:
    before, peak, after = ncc_FL[:, :-2], ncc_FL[:, 1:-1], ncc_FL[:, 2:]
    lags = np.arange(1, LAGS - 1, dtype=np.float32)
    is_peak = (peak >= before) & (peak > after) & (lags >= LAG_MIN)[None]
    offset = 0.5 * (before - after) / jnp.minimum(before - 2 * peak + after, -1e-9)
    height = jnp.where(is_peak, peak - 0.25 * (before - after) * offset, 0.0)
    best = jnp.argmax(height - (LAG_PENALTY / LAGS) * lags[None], axis=1, keepdims=True)
    period_F, height_F = (jnp.take_along_axis(x, best, axis=1)[:, 0] for x in (lags[None] + offset, height))
    voiced = (height_F > VOICED) & (power_F > QUIET)
    return jnp.stack([jnp.where(voiced, RATE / period_F, 0.0), height_F], axis=1)
