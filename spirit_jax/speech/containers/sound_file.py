"""Opens sound files to be read forward, also those that libsndfile reads in part or not at all: FLAC of
unknown length, FLAC inside Ogg, mp3 without a header.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from spirit_jax.speech.containers.mp3 import add_length
from spirit_jax.speech.containers.ogg import unwrap_flac
from spirit_jax.speech.containers.tags import after_tag

BLOCK = 1 << 16  # frames decoded at a time, fewer where there are many channels
BLOCK_SAMPLES = 8 * BLOCK
UNSEEKABLE = ("GSM610", "G721_32", "NMS_ADPCM_16", "NMS_ADPCM_24", "NMS_ADPCM_32")  # by libsndfile
UNKNOWN_FRAMES = 1 << 62  # libsndfile's number for a length that it does not know is above


class ForwardFile(soundfile.SoundFile):
    """A sound file that is read block after block.

    stated_frames: samples of each channel that the file says to have, None if it says that it does not know.
    channel: the one that is read, None for the mean of all.
    """

    channel: int | None = None

    def __init__(self, stream: Any, stated_frames: int | None = None):
        super().__init__(stream)
        self._source = stream
        hidden = self.frames >= UNKNOWN_FRAMES
        self.stated_frames = stated_frames if hidden else self.frames

    def seekable(self) -> bool:
        """Not for the base class, which would seek after each block; that fails at the end of a FLAC of
        unknown length.
        """
        return False

    def mono_blocks(self, frames: float, begin: int = 0) -> Iterator[np.ndarray]:
        """At most this many samples from `begin` on, infinite for all, of `channel`: float32 [n] each."""
        if begin and self.subtype in UNSEEKABLE:
            for _ in self.mono_blocks(begin):
                pass
        elif begin:
            try:
                self.seek(begin)
            except soundfile.SoundFileError:  # beyond the end of a file of unknown length
                return
        count, most = 0, min(BLOCK, BLOCK_SAMPLES // self.channels)
        while count < frames:
            asked = int(min(most, frames - count))
            block_NC = self.read(asked, dtype="float32", always_2d=True)
            yield self._mix(block_NC)
            count += len(block_NC)
            if len(block_NC) < asked:
                break

    def _mix(self, block_NC: np.ndarray) -> np.ndarray:
        if self.channel is not None:
            return np.ascontiguousarray(block_NC[:, self.channel])
        return block_NC.mean(axis=1) if self.channels > 1 else block_NC[:, 0]

    @property
    def exhausted(self) -> bool:
        """Whether all bytes of the file were read, where that is known."""
        return not isinstance(self._source, str) and self._source.tell() == self._source.seek(0, os.SEEK_END)

    def has_more(self) -> bool:
        """Whether another sample can be read; bytes that are no sound, such as a tag, do not count."""
        try:
            return len(self.read(1, always_2d=True)) > 0
        except soundfile.SoundFileError:
            return False


def join_blocks(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """One array, float32 [samples], which is in memory once."""
    content = bytearray()
    for block in blocks:
        content += block.tobytes()
    return np.frombuffer(content, np.float32)


@contextlib.contextmanager
def open_sound(path: Path, whole: bool) -> Iterator[ForwardFile]:
    """Opens a file. whole: it will be read to its end, a FLAC also beyond the length that it states."""
    with contextlib.ExitStack() as stack:
        unwrapped = unwrap_flac(path) or add_length(path)
        stream = unwrapped or stack.enter_context(open(path, "rb", buffering=0))
        at, stated = _flac_length(stream)
        stream.seek(0)
        if at is not None and whole:
            stream, unwrapped = _Lengthless(stream, at), stream
        yield stack.enter_context(ForwardFile(stream if unwrapped else str(path), stated))


class _Lengthless:
    """A FLAC file whose header says that its length is unknown. at: see `_flac_length`."""

    def __init__(self, file: Any, at: int):
        self._file, self._at = file, at
        self.seek, self.tell = file.seek, file.tell

    def readinto(self, buffer: Any) -> int:
        """Reads as the file does, and hides the length."""
        begin, count = self.tell(), self._file.readinto(buffer)
        view = memoryview(buffer).cast("B")
        for at in range(max(begin, self._at), min(begin + count, self._at + 5)):
            view[at - begin] &= 0xF0 if at == self._at else 0
        return count


def _flac_length(file: Any) -> tuple[int | None, int | None]:
    """Where a FLAC stream states its number of samples (36 bits, from the lower half of a byte on), and that
    number, None for unknown. None and None for another file.
    """
    begin = after_tag(file.read(10), 0)
    file.seek(begin)
    head = file.read(26)
    if head[:4] != b"fLaC":
        return None, None
    return begin + 21, int.from_bytes(head[21:26], "big") & (1 << 36) - 1 or None
