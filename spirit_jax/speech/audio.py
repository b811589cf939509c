"""Sound files to mono 16 kHz float32 and back, with the reason where one cannot be used.

Legend: S or N samples, C channels.
"""

import os
import re
from pathlib import Path

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import write_atomically
from spirit_jax.tokens.streams import SAMPLE_RATE

MIN_SAMPLES = 1280  # 80 ms: Meta's release drops shorter segments
MIN_RATE = 8_000  # of a corpus, our choice: below it the upper formants are gone
MAX_CHANNELS = 2  # of a corpus, our choice: more is a microphone array or a surround mix, not one voice
SILENCE_PEAK = 1e-4  # our choice: -80 dB of full scale
# float files may hold 32-bit integers; larger values are not sound, and their squares overflow
LOUDEST = 2.0**32
# libsndfile's log: bytes that the header claims, bytes in the file
WAV_CUT = re.compile(r"^data : (\d+) \(should be (\d+)\)$", re.MULTILINE)
# writers to a pipe cannot know the length and claim this many bytes or more
UNKNOWN_LENGTH = 0x7FFF0000


class BadAudio(ValueError):
    """A recording that cannot be encoded. `reason` is a short slug for counting, `detail` a sentence for
    people.

    Reasons: missing, unreadable, empty, truncated, too_many_channels, low_rate, not_finite, too_loud,
    too_short, silent.
    """

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def load(path: str | Path, max_seconds: float | None = None, corpus: bool = False) -> np.ndarray:
    """Reads wav, flac, mp3 or ogg at any rate, its channels averaged: float32 [samples] at 16 kHz, at most
    `max_seconds` of it.

    Raises BadAudio, with the reason, where `check` does and for files that do not decode. With `corpus` also
    for sound that is not fit for training: more than two channels, or a rate below 8 kHz.
    """
    samples_NC, rate = _read(Path(path), max_seconds, corpus)
    wav = samples_NC.mean(axis=1) if samples_NC.shape[1] > 1 else samples_NC[:, 0]
    if rate != SAMPLE_RATE and np.isfinite(wav).all():
        import soxr

        wav = soxr.resample(wav, rate, SAMPLE_RATE)
    wav = np.ascontiguousarray(wav, np.float32)
    check(wav)
    return wav


def check(wav: np.ndarray) -> None:
    """Raises BadAudio if mono 16 kHz samples [N] are not finite, shorter than 80 ms, silent or beyond 32-bit
    integers.
    """
    check_numbers(wav)
    if len(wav) < MIN_SAMPLES:
        raise BadAudio("too_short", f"{len(wav)} samples at 16 kHz, the least is {MIN_SAMPLES}")
    if (peak := float(np.abs(wav).max())) < SILENCE_PEAK:
        raise BadAudio("silent", f"the loudest sample is {peak:.1e} of full scale")


def check_numbers(wav: np.ndarray) -> None:
    """Raises BadAudio if samples [N] are not finite or beyond 32-bit integers."""
    if not np.isfinite(wav).all():
        raise BadAudio(
            "not_finite", f"{np.count_nonzero(~np.isfinite(wav))} of {len(wav)} samples are NaN or infinite"
        )
    if len(wav) and (peak := float(np.abs(wav).max())) > LOUDEST:
        raise BadAudio("too_loud", f"the loudest sample is {peak:.1e} times full scale")


def mix_down(wav: np.ndarray) -> np.ndarray:
    """Mono float32 [S] of float [S] or [C, S]. UserError for integers, whose scale is unknown, and for other
    shapes, such as [S, C].
    """
    import jax.numpy as jnp  # numpy does not know bfloat16

    wav = np.asarray(wav)
    if wav.ndim not in (1, 2) or wav.ndim == 2 and (not len(wav) or len(wav) > wav.shape[1] > 0):
        raise UserError(
            "wav",
            wav.shape,
            "must be [samples] or [channels, samples]",
            "pass a list with one array for each utterance",
        )
    if not jnp.issubdtype(wav.dtype, jnp.floating):
        raise UserError("wav", wav.dtype, "must be float, from -1 to 1", "divide 16-bit samples by 32768")
    return wav.mean(axis=0, dtype=np.float32) if wav.ndim == 2 else wav.astype(np.float32, copy=False)


def normalize(wav_S: np.ndarray, eps: float) -> np.ndarray:
    """Zero mean and unit variance over the utterance."""
    if not len(wav_S):
        return wav_S
    mean, variance = np.mean(wav_S, dtype=np.float64), np.var(wav_S, dtype=np.float64)
    return ((wav_S - mean) / np.sqrt(variance + eps)).astype(np.float32)


def save(path: str | Path, wav: np.ndarray, rate: int = SAMPLE_RATE) -> None:
    """Writes float samples [N] in -1..1 (clipped) as 16-bit sound, atomically, in the format of
    the suffix.
    """
    import soundfile

    with write_atomically(path) as partial:
        soundfile.write(partial, np.clip(wav, -1.0, 1.0), rate)


def _read(path: Path, max_seconds: float | None, corpus: bool) -> tuple[np.ndarray, int]:
    """Float32 [samples, channels] and the rate. Bad files are refused by their header where possible."""
    import soundfile

    if not os.path.isfile(path):  # also for a name that no file can have
        raise BadAudio("missing", f"no file {path}")
    if path.stat().st_size == 0:
        raise BadAudio("empty", "the file has no bytes")
    try:
        with soundfile.SoundFile(path) as file:
            if corpus and file.channels > MAX_CHANNELS:
                raise BadAudio("too_many_channels", f"{file.channels} channels, at most {MAX_CHANNELS}")
            if corpus and file.samplerate < MIN_RATE:
                raise BadAudio("low_rate", f"{file.samplerate} Hz, at least {MIN_RATE}")
            if cut := _bytes_missing(file.extra_info):
                raise BadAudio("truncated", cut)
            frames = (
                file.frames if max_seconds is None else round(min(file.frames, max_seconds * file.samplerate))
            )
            samples_NC, rate = file.read(frames, dtype="float32", always_2d=True), file.samplerate
    # damaged; no permission; or a broken header that claims terabytes
    except (soundfile.SoundFileError, OSError, MemoryError) as error:
        raise BadAudio("unreadable", str(error)) from error
    if not len(samples_NC):
        raise BadAudio("empty", "the file has no samples")
    return samples_NC, rate


def _bytes_missing(log: str) -> str:
    """How many bytes of a truncated wav are missing, from libsndfile's log; "" if the file is complete."""
    claimed, there = map(int, match.groups()) if (match := WAV_CUT.search(log)) else (0, 0)
    return f"{there} of {claimed} bytes are there" if 0 < there < claimed < UNKNOWN_LENGTH else ""
