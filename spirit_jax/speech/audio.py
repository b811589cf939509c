"""Sound files to mono 16 kHz float32 and back, with the reason where one cannot be used.

Legend: S or N samples, C channels.
"""

import contextlib
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import write_atomically
from spirit_jax.core.sound_part import Part
from spirit_jax.core.stored_files import local_copy
from spirit_jax.speech.containers.faults import find_fault
from spirit_jax.speech.containers.sound_file import ForwardFile, join_blocks, open_sound
from spirit_jax.tokens.streams import SAMPLE_RATE

MIN_SAMPLES = 1280  # 80 ms: Meta's release drops shorter segments
MIN_RATE = 8_000  # of a corpus, our choice: below it the upper formants are gone
MAX_RATE = 192_000  # where the length is limited, our choice: the highest rate of recording equipment
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
    low_rate, high_rate, too_long, not_finite, too_loud, too_short, silent.
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
    longest_s: float | None = None,
) -> np.ndarray:
    """Reads wav, flac, mp3, ogg or opus at any rate, its channels averaged: float32 [samples] at 16 kHz.

    path: also a URL, or a member of a tar (`spirit_jax.core.stored_files`). max_seconds: read no more than
    this. part: where to begin, in seconds, how long the part is, None for up to the end, and the channel.
    admit: called with the seconds that are about to be decoded, infinite where the file does not say.
    longest_s: refuse longer sound, by its header where that says so, otherwise while it is decoded, and rates
    above 192 kHz, so that memory is bounded.

    Raises BadAudio, with the reason, where `check` does and for files that do not decode or are cut. With
    `corpus` also for sound that is not fit for training: more than two channels, or a rate below 8 kHz.
    """
    wanted = Part(*part or ())
    with _opened(path, corpus, wanted, max_seconds) as file:
        if admit is not None:
            admit(_seconds(file, wanted, max_seconds))
        blocks, rate = _blocks(file, wanted, max_seconds), file.samplerate
        if longest_s is not None:
            _check_size(file, wanted, max_seconds, longest_s)
            blocks = _bounded(blocks, rate, longest_s)
        wav = join_blocks(blocks)
    return resample(wav, rate)


def resample(wav: np.ndarray, rate: int) -> np.ndarray:
    """Mono samples [N] at any rate: float32 at 16 kHz. Raises BadAudio where `check` does."""
    if rate != SAMPLE_RATE and np.isfinite(wav).all():
        import soxr

        check_silence(wav)  # a resampled constant has edges, which are no silence
        wav = soxr.resample(wav, rate, SAMPLE_RATE)
    wav = np.ascontiguousarray(wav, np.float32)
    check(wav)
    return wav


def stream(path: str | Path, part: Part | None = None) -> Iterator[np.ndarray]:
    """The sound of a corpus' recording in blocks, float32 [n] at 16 kHz: memory does not grow with it.

    Raises BadAudio as `load` does, for damage at the end of a file only there, but not for short or silent
    sound.
    """
    wanted = part or Part()
    with _opened(path, True, wanted, None) as file:
        blocks = _blocks(file, wanted, None)
        if file.samplerate == SAMPLE_RATE:
            for block in blocks:
                check_numbers(block)
                yield block
            return
        import soxr

        resampler = soxr.ResampleStream(file.samplerate, SAMPLE_RATE, 1, dtype="float32")
        for block in blocks:
            check_numbers(block)
            yield resampler.resample_chunk(block)
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def stated_seconds(path: str | Path, part: Part | None = None) -> float:
    """How long a corpus' recording, or the part, is, as the file says; infinite where it does not say.

    Raises BadAudio as `load` does, as far as that is known without decoding.
    """
    wanted = part or Part()
    with _opened(path, True, wanted, None) as file:
        return _seconds(file, wanted, None)


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


@contextlib.contextmanager
def _opened(
    address: str | Path, corpus: bool, part: Part, max_seconds: float | None
) -> Iterator[ForwardFile]:
    """A file, a member of a tar or a remote file. Bad files are refused by their header where possible.

    Damage that is found while the file is read is BadAudio too.
    """
    try:
        with local_copy(address) as path:
            _require_bytes(path)
            try:
                if fault := find_fault(path):
                    raise BadAudio(*fault)
                with open_sound(path, _is_whole(part, max_seconds)) as file:
                    _check_header(file, corpus, part)
                    file.channel = part.channel
                    yield file
            # damaged; no permission; or a broken header that claims terabytes
            except (soundfile.SoundFileError, OSError, MemoryError) as error:
                raise BadAudio("unreadable", str(error)) from error
    except (OSError, UserError, tarfile.TarError) as error:
        raise BadAudio("missing", str(error)) from error


def _require_bytes(path: Path) -> None:
    if not os.path.isfile(path):  # also for a name that no file can have
        raise BadAudio("missing", f"no file {path}")
    if path.stat().st_size == 0:
        raise BadAudio("empty", "the file has no bytes")


def _check_header(file: ForwardFile, corpus: bool, part: Part) -> None:
    if part.channel is not None and part.channel >= file.channels:
        raise BadAudio("no_channel", f"channel {part.channel} of {file.channels}, 0 is the first")
    if corpus and part.channel is None and file.channels > MAX_CHANNELS:
        raise BadAudio("too_many_channels", f"{file.channels} channels, at most {MAX_CHANNELS}")
    if corpus and file.samplerate < MIN_RATE:
        raise BadAudio("low_rate", f"{file.samplerate} Hz, at least {MIN_RATE}")


def _check_size(file: ForwardFile, part: Part, max_seconds: float | None, longest_s: float) -> None:
    if file.samplerate > MAX_RATE:
        raise BadAudio("high_rate", f"{file.samplerate} Hz, at most {MAX_RATE}")
    seconds = _seconds(file, part, max_seconds)
    if longest_s < seconds < np.inf:
        raise BadAudio("too_long", f"{seconds:.1f} s, at most {longest_s:g}")


def _bounded(blocks: Iterator[np.ndarray], rate: int, longest_s: float) -> Iterator[np.ndarray]:
    count = 0
    for block in blocks:
        count += len(block)
        if count > longest_s * rate:
            raise BadAudio("too_long", f"more than {longest_s:g} s")
        yield block


def _is_whole(part: Part, max_seconds: float | None) -> bool:
    return part[:2] == Part()[:2] and max_seconds is None


def _seconds(file: ForwardFile, part: Part, max_seconds: float | None) -> float:
    """What will be decoded; infinite where the file does not say how long it is."""
    if _is_whole(part, max_seconds):
        return np.inf if file.stated_frames is None else file.stated_frames / file.samplerate
    return _wanted_frames(file, part, max_seconds) / file.samplerate


def _wanted_frames(file: ForwardFile, part: Part, max_seconds: float | None) -> float:
    begin = round(part.begin_s * file.samplerate)
    left = np.inf if file.stated_frames is None else max(0, file.stated_frames - begin)
    return min([*(round(seconds * file.samplerate) for seconds in _limits(part, max_seconds)), left])


def _limits(part: Part, max_seconds: float | None) -> list[float]:
    """The finite ones of the limits."""
    return [limit for limit in (part.length_s, max_seconds) if limit is not None and np.isfinite(limit)]


def _blocks(file: ForwardFile, part: Part, max_seconds: float | None) -> Iterator[np.ndarray]:
    """The samples that are asked for, mono, block after block. BadAudio where there are none, or where the
    file does not hold what it or the part says.
    """
    whole = _is_whole(part, max_seconds)
    count = 0
    for block in _whole_blocks(file) if whole else _part_blocks(file, part, max_seconds):
        count += len(block)
        yield block
    if not count:
        raise BadAudio("empty", "the file has no samples")


def _whole_blocks(file: ForwardFile) -> Iterator[np.ndarray]:
    """All samples. BadAudio where they are fewer or more than the file says."""
    stated, rate, count = file.stated_frames, file.samplerate, 0
    try:
        for block in file.mono_blocks(np.inf if stated is None else stated):
            count += len(block)
            yield block
    except soundfile.SoundFileError as error:
        if not file.exhausted:
            raise
        raise BadAudio("truncated", "its last frame is cut") from error
    if stated is None:
        return
    if count < stated - SLACK_S * rate:
        raise BadAudio("truncated", f"its header says {stated / rate:.2f} s, it holds {count / rate:.2f} s")
    if file.has_more():
        raise BadAudio("joined", f"it holds more than the {stated / rate:.2f} s that its header says")


def _part_blocks(file: ForwardFile, part: Part, max_seconds: float | None) -> Iterator[np.ndarray]:
    """At most `max_seconds` from where the part begins. BadAudio where the sound ends before the part."""
    begin_s, length_s, _ = part
    rate, begin, count = file.samplerate, round(begin_s * file.samplerate), 0
    wanted = _wanted_frames(file, part, max_seconds)
    for block in file.mono_blocks(wanted, begin) if wanted else ():
        count += len(block)
        yield block
    asked = round(min(_limits(part, max_seconds), default=0.0) * rate)
    least = 1 if length_s is None else max(1, asked - SLACK_S * rate)
    if part[:2] != Part()[:2] and count < least:
        end = f"ends at {begin_s + length_s:.2f} s" if length_s else f"begins at {begin_s:.2f} s"
        detail = f"the part {end}, the sound at {begin_s + count / rate:.2f} s"
        raise BadAudio("part_beyond_sound", detail if count else f"the part {end}, after the sound")
