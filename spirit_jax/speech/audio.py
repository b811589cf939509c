"""Sound files to mono 16 kHz float32 and back, with the reason where one cannot be used.

Legend: S or N samples, C channels.
"""

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import write_atomically
from spirit_jax.core.sound_part import Part
from spirit_jax.core.stored_files import local_copy
from spirit_jax.speech.containers.faults import find_fault
from spirit_jax.speech.containers.sound_file import ForwardFile, open_sound
from spirit_jax.tokens.streams import SAMPLE_RATE

MIN_SAMPLES = 1280  # 80 ms: Meta's release drops shorter segments
MIN_RATE = 8_000  # of a corpus, our choice: below it the upper formants are gone
MAX_CHANNELS = 2  # of a corpus, our choice: more is a microphone array or a surround mix, not one voice
SILENCE_PEAK = 1e-4  # our choice: -80 dB of full scale
# float files may hold 32-bit integers; larger values are not sound, and their squares overflow
LOUDEST = 2.0**32
# how much the sound may be shorter than its header or its row says: encoders pad, and times are rounded
SLACK_S = 0.25


class BadAudio(ValueError):
    """A recording that cannot be encoded. `reason` is a short slug for counting, `detail` a sentence for
    people.

    Reasons: missing, unreadable, empty, truncated, joined, part_beyond_sound, no_channel, too_many_channels,
    low_rate, not_finite, too_loud, too_short, silent.
    """

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def load(
    path: str | Path,
    max_seconds: float | None = None,
    corpus: bool = False,
    part: Part | tuple[float, float | None] | None = None,
    admit: Callable[[float], None] | None = None,
) -> np.ndarray:
    """Reads wav, flac, mp3, ogg or opus at any rate, its channels averaged: float32 [samples] at 16 kHz.

    path: also a URL, or a member of a tar (`spirit_jax.core.stored_files`). max_seconds: read no more than
    this. part: where to begin, in seconds, how long the part is, None for up to the end, and the channel.
    admit: called with the seconds that are about to be decoded, infinite where the file does not say.

    Raises BadAudio, with the reason, where `check` does and for files that do not decode or are cut. With
    `corpus` also for sound that is not fit for training: more than two channels, or a rate below 8 kHz.
    """
    wav, rate = _read(path, max_seconds, corpus, Part(*part or ()), admit or (lambda seconds: None))
    if rate != SAMPLE_RATE and np.isfinite(wav).all():
        import soxr

        check_silence(wav)  # a resampled constant has edges, which are no silence
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
    check_silence(wav)


def check_silence(wav: np.ndarray) -> None:
    """Raises BadAudio if samples [N] are all near their mean: a constant makes no sound."""
    mean = float(wav.mean(dtype=np.float64))
    peak = max(float(wav.max()) - mean, mean - float(wav.min()))
    if peak < SILENCE_PEAK:
        raise BadAudio("silent", f"the loudest sample is {peak:.1e} of full scale from the mean, {mean:.1e}")


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
    with write_atomically(path) as partial:
        soundfile.write(partial, np.clip(wav, -1.0, 1.0), rate)


def _read(
    address: str | Path,
    max_seconds: float | None,
    corpus: bool,
    part: Part,
    admit: Callable[[float], None],
) -> tuple[np.ndarray, int]:
    """Mono float32 [samples] and the rate, of a file, a member of a tar or a remote file."""
    try:
        with local_copy(address) as path:
            return _read_file(path, max_seconds, corpus, part, admit)
    except (OSError, UserError, tarfile.TarError) as error:
        raise BadAudio("missing", str(error)) from error


def _read_file(
    path: Path,
    max_seconds: float | None,
    corpus: bool,
    part: Part,
    admit: Callable[[float], None],
) -> tuple[np.ndarray, int]:
    """Bad files are refused by their header where possible."""
    if not os.path.isfile(path):  # also for a name that no file can have
        raise BadAudio("missing", f"no file {path}")
    if path.stat().st_size == 0:
        raise BadAudio("empty", "the file has no bytes")
    whole = part[:2] == Part()[:2] and max_seconds is None
    try:
        if fault := find_fault(path):
            raise BadAudio(*fault)
        with open_sound(path, whole) as file:
            if part.channel is not None and part.channel >= file.channels:
                raise BadAudio("no_channel", f"channel {part.channel} of {file.channels}, 0 is the first")
            file.channel = part.channel
            if corpus and part.channel is None and file.channels > MAX_CHANNELS:
                raise BadAudio("too_many_channels", f"{file.channels} channels, at most {MAX_CHANNELS}")
            if corpus and file.samplerate < MIN_RATE:
                raise BadAudio("low_rate", f"{file.samplerate} Hz, at least {MIN_RATE}")
            wav = _read_whole(file, admit) if whole else _read_part(file, part, max_seconds, admit)
    # damaged; no permission; or a broken header that claims terabytes
    except (soundfile.SoundFileError, OSError, MemoryError) as error:
        raise BadAudio("unreadable", str(error)) from error
    if not len(wav):
        raise BadAudio("empty", "the file has no samples")
    return wav, file.samplerate


def _read_whole(file: ForwardFile, admit: Callable[[float], None]) -> np.ndarray:
    """All samples, mono. BadAudio where they are fewer or more than the file says."""
    stated, rate = file.stated_frames, file.samplerate
    admit(np.inf if stated is None else stated / rate)
    try:
        wav = file.read_mono(np.inf if stated is None else stated)
    except soundfile.SoundFileError as error:
        if not file.exhausted:
            raise
        raise BadAudio("truncated", "its last frame is cut") from error
    if stated is None:
        return wav
    if len(wav) < stated - SLACK_S * rate:
        detail = f"its header says {stated / rate:.2f} s, it holds {len(wav) / rate:.2f} s"
        raise BadAudio("truncated", detail)
    if file.has_more():
        raise BadAudio("joined", f"it holds more than the {stated / rate:.2f} s that its header says")
    return wav


def _read_part(
    file: ForwardFile,
    part: Part,
    max_seconds: float | None,
    admit: Callable[[float], None],
) -> np.ndarray:
    """At most `max_seconds` from where the part begins, mono. BadAudio where the sound ends before the part
    does.
    """
    begin_s, length_s, _ = part
    rate, begin = file.samplerate, round(begin_s * file.samplerate)
    left = np.inf if file.stated_frames is None else max(0, file.stated_frames - begin)
    lengths = [seconds for seconds in (length_s, max_seconds) if seconds is not None and np.isfinite(seconds)]
    asked = [round(seconds * rate) for seconds in lengths]
    wanted = min([*asked, left])
    admit(wanted / rate)
    wav = file.read_mono(wanted, begin) if wanted else np.zeros(0, np.float32)
    least = 1 if length_s is None else max(1, min(asked) - SLACK_S * rate)
    if part[:2] != Part()[:2] and len(wav) < least:
        end = f"ends at {begin_s + length_s:.2f} s" if length_s else f"begins at {begin_s:.2f} s"
        detail = f"the part {end}, the sound at {begin_s + len(wav) / rate:.2f} s"
        raise BadAudio("part_beyond_sound", detail if len(wav) else f"the part {end}, after the sound")
    return wav
