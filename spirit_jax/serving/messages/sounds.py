"""Sound of requests and answers as bytes."""

import io
import tempfile

import numpy as np
import soundfile

from spirit_jax.generation.inputs import BadSound, Wav
from spirit_jax.speech import audio
from spirit_jax.tokens.streams import SAMPLE_RATE

FULL_SCALE = 32767
PCM = "pcm"  # OpenAI's: samples without a header
PCM_RATE = 24_000  # of OpenAI's pcm, which says no rate
# files by OpenAI's names of formats: libsndfile's format and subtype, and the content type
FILES = {
    "wav": ("WAV", "PCM_16", "audio/wav"),
    "flac": ("FLAC", "PCM_16", "audio/flac"),
    "mp3": ("MP3", "MPEG_LAYER_III", "audio/mpeg"),
    "opus": ("OGG", "OPUS", "audio/ogg"),
}


def read_sound(content: bytes, longest_s: float, what: str) -> Wav:
    """The sound of a file that was sent, at 16 kHz. what: names it in the error.

    BadSound where there is no usable sound, and for sound of more than `longest_s` seconds.
    """
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        try:
            return Wav(audio.load(file.name, longest_s=longest_s), SAMPLE_RATE)
        except audio.BadAudio as error:
            detail = error.detail.replace(repr(file.name), "it").replace(file.name, "it")
            raise BadSound(what, audio.BadAudio(error.reason, detail)) from error


def to_pcm(wav: np.ndarray) -> np.ndarray:
    """Float samples from -1 to 1, clipped, as little-endian 16-bit integers."""
    return np.round(np.clip(wav, -1.0, 1.0) * FULL_SCALE).astype("<i2")


def write_sound(wav: np.ndarray, form: str) -> bytes:
    """A whole file with 16 kHz samples, in one of FILES."""
    container, subtype, _ = FILES[form]
    file = io.BytesIO()
    soundfile.write(file, to_pcm(wav), SAMPLE_RATE, format=container, subtype=subtype)
    return file.getvalue()


class PcmWriter:
    """Consecutive stretches of sound as OpenAI's pcm, 24 kHz: together the same as of all at once."""

    def __init__(self):
        import soxr

        self._resampler = soxr.ResampleStream(SAMPLE_RATE, PCM_RATE, 1, dtype="float32")

    def write(self, wav: np.ndarray) -> bytes:
        """The next samples; a few come with the call after."""
        return to_pcm(self._resampler.resample_chunk(wav.astype(np.float32))).tobytes()

    def end(self) -> bytes:
        """The last samples."""
        return to_pcm(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True)).tobytes()
