"""Text to speech by SVOX Pico (package py_nanotts): natural voices, without word times.

Every call loads the voice again, into memory that Pico expects to be zero and does not clear: a malloc of
2.5 MB. Where the C library would take it from what was freed before, it is told to ask the kernel. So equal
arguments give equal samples, in any order and in any process of its own; one in which other code freed large
memory before may differ in the last bits.
"""

import ctypes
import dataclasses
import functools

import numpy as np

from spirit_jax.core.errors import UserError

SLOWEST, FASTEST = 0.2, 5.0
LOWEST, HIGHEST = 0.5, 2.0
MARKUP = "<>&"  # Pico would read it
MMAP_THRESHOLD, ONE_MB = -3, 1 << 20  # of mallopt: what is larger comes from the kernel, as zeros


@dataclasses.dataclass(frozen=True)
class Voice:
    """A Pico voice (`en-US`, `en-GB`), with its speed (0.2 to 5) and pitch (0.5 to 2) as multiples of its
    own.
    """

    name: str
    speed: float = 1.0
    pitch: float = 1.0

    def __post_init__(self):
        if not SLOWEST <= self.speed <= FASTEST or not LOWEST <= self.pitch <= HIGHEST:
            rule = f"speed is {SLOWEST} to {FASTEST}, pitch {LOWEST} to {HIGHEST}"
            raise UserError("voice", self, rule, "choose values in these ranges")


def speak(text: str, voice: Voice) -> np.ndarray:
    """Speaks `text`: int16 [samples] at 16 kHz.

    UserError for a text without words or with markup, an unknown voice, or a missing package.
    """
    if not text.strip() or any(sign in text for sign in MARKUP):
        raise UserError("text to speak", repr(text), "must have words and none of <>&", "write them as words")
    try:
        import py_nanotts
    except ImportError as error:
        fix = "pip install -r requirements-demo.txt"
        raise UserError("py_nanotts", "not installed", "is needed for speech", fix) from error
    known = [one.value for one in py_nanotts.Voice]
    if voice.name not in known:
        raise UserError("voice", voice.name, "is unknown to Pico", f"one of {', '.join(known)}")
    _take_clean_memory()
    sound = py_nanotts.NanoTTS().speak(text, voice=voice.name, speed=voice.speed, pitch=voice.pitch)
    return np.frombuffer(sound, "<i2").astype(np.int16)


@functools.cache
def _take_clean_memory() -> None:
    """Once in a process. C libraries without mallopt (musl) never take so much from what was freed."""
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(MMAP_THRESHOLD, ONE_MB)
