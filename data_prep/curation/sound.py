"""What samples say about a recording: silence, noise, clipping, and whether two are the same.

Legend: T frames of 20 ms.
"""

import hashlib

import numpy as np

FRAME = 320  # samples
FLOOR_DB = -100.0  # of full scale; digital silence is below
# dB under the loud frames from which on a frame is silent: our choice, between the pauses of noisy
# recordings and the weakest consonants of clean ones
SILENT_DB = 35.0
LOUD, QUIET = 95, 10  # percentiles of the frames' levels that stand for speech and for what is behind it
DEPTH_DB = 50.0  # under the loudest frame: frames below it are too quiet to say how loud the speech is
FLAT = 0.98  # share of the peak from which on a sample is near it
SLOTS, BANDS = 17, 9  # of the outline: 16 x 8 differences
OUTLINE_BINS = (4, 76)  # of the spectrum of a frame: 0.2 to 3.8 kHz, which telephones keep too
RISE = 0.2  # nats from which on a change of level counts: between two silences there is none
NEAR_BITS = 10  # of the 128 of an outline that may differ, our choice: coding and filters change some
NEAR_SECONDS = 0.1


def frame_levels(wav: np.ndarray) -> np.ndarray:
    """Mean power of each frame in dB of full scale, float64 [T], at least `FLOOR_DB`. wav: 16 kHz, one frame
    or more.
    """
    frames = wav[: len(wav) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float64)
    power = np.var(frames, axis=1)  # a constant offset is no sound
    return 10 * np.log10(np.maximum(power, 10 ** (FLOOR_DB / 10)))


def sounding(levels_T: np.ndarray) -> np.ndarray:
    """Which frames are not silent, bool [T]; at least one."""
    return levels_T >= _speech_level(levels_T) - SILENT_DB


def _speech_level(levels_T: np.ndarray) -> float:
    """Level of the loud frames, however much silence there is besides."""
    return float(np.percentile(levels_T[levels_T >= levels_T.max() - DEPTH_DB], LOUD))


def signal_to_noise(levels_T: np.ndarray) -> float:
    """Level of the loud frames over that of the quiet ones, in dB. Digital silence is left out: it says
    nothing about the noise behind the speech.
    """
    heard = levels_T[levels_T > FLOOR_DB]
    if not len(heard):
        return 0.0
    return _speech_level(levels_T) - float(np.percentile(heard, QUIET))


def clipping_share(wav: np.ndarray) -> float:
    """Share of the samples near the peak: speech has few, a clipped wave is flat there."""
    centred = np.abs(wav - wav.mean())
    return float(np.mean(centred >= FLAT * centred.max()))


def sound_key(wav: np.ndarray) -> str:
    """Equal for equal samples at 16 kHz, whatever file they are from."""
    return hashlib.blake2b(np.ascontiguousarray(wav), digest_size=8).hexdigest()


def outline(wav: np.ndarray, levels_T: np.ndarray) -> str:
    """128 bits as hexadecimal that stay nearly the same if a recording is coded, resampled, padded or made
    louder: how the level rises and falls from band to band and from slot to slot, after Haitsma and Kalker
    2002.
    """
    at = np.flatnonzero(sounding(levels_T))
    heard = wav[at[0] * FRAME : (at[-1] + 1) * FRAME]
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(heard, FRAME // 2), FRAME)[:: FRAME // 4]
    power_TF = np.square(np.abs(np.fft.rfft(frames * np.hanning(FRAME), axis=1)))
    edges = np.round(np.geomspace(*OUTLINE_BINS, BANDS + 1)).astype(int)
    power_TB = np.add.reduceat(power_TF[:, : edges[-1]], edges[:-1], axis=1)
    level_SB = np.log(_slots(power_TB) + 1e-3 * power_TB.mean())
    bits = np.diff(np.diff(level_SB, axis=0), axis=1) > RISE
    return np.packbits(bits).tobytes().hex()


def _slots(power_TB: np.ndarray) -> np.ndarray:
    """Power in `SLOTS` stretches that overlap by half, so that a shift of a frame changes little."""
    at_T = np.arange(len(power_TB)) * (SLOTS - 1) / max(len(power_TB) - 1, 1)
    weight_ST = np.maximum(0, 1 - np.abs(at_T - np.arange(SLOTS)[:, None]))
    return weight_ST @ power_TB / np.maximum(weight_ST.sum(axis=1, keepdims=True), 1e-9)


def are_near(one: str, other: str) -> bool:
    """Whether two outlines are those of one recording."""
    return (int(one, 16) ^ int(other, 16)).bit_count() <= NEAR_BITS
