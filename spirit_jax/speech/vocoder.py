"""Log-mel frames to sound: the mel filters' pseudo-inverse, then Griffin-Lim with momentum (Griffin and Lim 1984, Perraudin et al. 2013).

Legend: F frames (10 ms), M mel bands, B frequency bins, S samples.
"""

import functools

import numpy as np
import scipy.fft

from spirit_jax.speech.mfcc import HOP, N_FFT, WINDOW, analysis_window, mel_matrix

ITERATIONS = 32
MOMENTUM = 0.99
RMS = 0.08  # of full scale; a choice
PEAK = 0.95
EDGE = (WINDOW - HOP) // 2


def synthesize(log_mel_FM: np.ndarray) -> np.ndarray:
    """Sound whose log-mel power is near `log_mel_FM` [F, 64]: float32 [160 F] at 16 kHz, at a fixed loudness; the same for the same frames."""
    power_FB = np.maximum(np.exp(log_mel_FM) @ _mel_inverse(), 1e-8)
    wav = griffin_lim(np.sqrt(power_FB))
    wav = wav * (RMS / np.sqrt(np.mean(np.square(wav)) + 1e-12))
    return (wav * min(1.0, PEAK / max(np.abs(wav).max(), 1e-12))).astype(np.float32)


def griffin_lim(magnitude_FB: np.ndarray) -> np.ndarray:
    """Sound [160 F] with these spectral magnitudes [F, 257], from random phases drawn with a fixed seed."""
    phase_FB = np.random.default_rng(0).uniform(0, 2 * np.pi, magnitude_FB.shape).astype(np.float32)
    spectrum_FB = magnitude_FB * np.exp(1j * phase_FB)
    last_FB = np.zeros_like(spectrum_FB)
    for _ in range(ITERATIONS):
        consistent_FB = _stft(_overlap_add(spectrum_FB))
        ahead_FB = consistent_FB + MOMENTUM * (consistent_FB - last_FB)
        spectrum_FB = magnitude_FB * ahead_FB / np.maximum(np.abs(ahead_FB), 1e-9)
        last_FB = consistent_FB
    return _overlap_add(spectrum_FB)[EDGE:-EDGE]


@functools.cache
def _mel_inverse() -> np.ndarray:
    return np.linalg.pinv(mel_matrix().astype(np.float64)).astype(np.float32)


def _stft(wav: np.ndarray) -> np.ndarray:
    frames_FS = np.lib.stride_tricks.sliding_window_view(wav, WINDOW)[::HOP]
    return np.asarray(scipy.fft.rfft(frames_FS * analysis_window(), N_FFT, axis=1))


def _overlap_add(spectrum_FB: np.ndarray) -> np.ndarray:
    """The least-squares inverse of `_stft`: [160 (F - 1) + 400]."""
    window = analysis_window()
    frames_FS = np.asarray(scipy.fft.irfft(spectrum_FB, N_FFT, axis=1))[:, :WINDOW] * window
    weight_FS = np.broadcast_to(np.square(window), frames_FS.shape)
    return _add_shifted(frames_FS) / np.maximum(_add_shifted(weight_FS), 1e-3 / WINDOW)


def _add_shifted(frames_FS: np.ndarray) -> np.ndarray:
    hops = -(-WINDOW // HOP)
    wide = np.pad(frames_FS, ((0, 0), (0, hops * HOP - WINDOW))).reshape(len(frames_FS), hops, HOP)
    total = np.zeros((len(frames_FS) + hops - 1, HOP), np.float32)
    for i in range(hops):
        total[i : i + len(frames_FS)] += wide[:, i]
    return total.reshape(-1)[: (len(frames_FS) - 1) * HOP + WINDOW]
