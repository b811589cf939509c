"""Log-mel frames and F0 to sound: the pseudo-inverse of the mel filters shapes pulses or noise, and
Griffin-Lim with momentum finds consistent phases (Griffin and Lim 1984, Perraudin et al. 2013).

Legend: F frames (10 ms), M mel bands, B frequency bins, S samples.
"""

import functools

import numpy as np
import scipy.fft
import scipy.ndimage

from spirit_jax.speech.encoders.mfcc import HOP, N_FFT, WINDOW, analysis_window, dct_matrix, mel_matrix
from spirit_jax.tokens.streams import SAMPLE_RATE

ITERATIONS = 32
MOMENTUM = 0.99
RMS = 0.08  # of full scale; our choice
PEAK = 0.95
POWER_FLOOR = 1e-6
ENVELOPE_CEPSTRA = 20  # of the log-mel: keeps formants, drops the harmonics of the original F0; our choice
ENVELOPE_BINS = 9  # 280 Hz: more than the distance of harmonics in most voices
EDGE = (WINDOW - HOP) // 2


def synthesize(log_mel_FM: np.ndarray, f0_F: np.ndarray) -> np.ndarray:
    """Sound with the spectral envelope of `log_mel_FM` [F, 64] and the F0 `f0_F` [F] in Hz, 0 for noise:
    float32 [160 F] at 16 kHz.

    At a fixed loudness; deterministic.
    """
    cepstral_FC = log_mel_FM @ dct_matrix(ENVELOPE_CEPSTRA).T
    power_FB = np.maximum(np.exp(cepstral_FC @ dct_matrix(ENVELOPE_CEPSTRA)) @ _mel_inverse(), POWER_FLOOR)
    wav = griffin_lim(np.sqrt(power_FB) * _flat_spectrum(_excitation(f0_F)))
    wav = wav * (RMS / np.sqrt(np.mean(np.square(wav)) + 1e-12))
    return (wav * min(1.0, PEAK / max(np.abs(wav).max(), 1e-12))).astype(np.float32)


def griffin_lim(spectrum_FB: np.ndarray) -> np.ndarray:
    """Sound [160 F] with the magnitudes of `spectrum_FB` [F, 257], whose phases are the initial ones."""
    magnitude_FB = np.abs(spectrum_FB)
    last_FB = np.zeros_like(spectrum_FB)
    for _ in range(ITERATIONS):
        consistent_FB = _stft(_overlap_add(spectrum_FB))
        ahead_FB = consistent_FB + MOMENTUM * (consistent_FB - last_FB)
        spectrum_FB = magnitude_FB * ahead_FB / np.maximum(np.abs(ahead_FB), 1e-9)
        last_FB = consistent_FB
    return _overlap_add(spectrum_FB)[EDGE:-EDGE]


def _excitation(f0_F: np.ndarray) -> np.ndarray:
    """The voice source: one pulse per period where F0 is above 0, noise elsewhere, both of unit power:
    float32 [160 (F - 1) + 400].
    """
    samples = (len(f0_F) - 1) * HOP + WINDOW
    hz = np.repeat(np.pad(f0_F, (1, 2), mode="edge"), HOP)[HOP - EDGE :][:samples]
    noise = np.random.default_rng(0).normal(size=samples)
    pulses = np.diff(np.floor(np.cumsum(hz) / SAMPLE_RATE), prepend=0) * np.sqrt(
        SAMPLE_RATE / np.maximum(hz, 1)
    )
    return np.where(hz > 0, pulses, noise).astype(np.float32)


def _flat_spectrum(wav: np.ndarray) -> np.ndarray:
    """The spectrum of an excitation divided by its envelope, which leaves harmonics or noise: complex [F,
    257].
    """
    spectrum_FB = _stft(wav)
    power_FB = np.square(np.abs(spectrum_FB))
    envelope_FB = scipy.ndimage.uniform_filter1d(power_FB, ENVELOPE_BINS, axis=1, mode="nearest")
    return spectrum_FB / np.sqrt(envelope_FB + 1e-6)


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
