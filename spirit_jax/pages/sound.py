"""Sound inside a page."""

import base64
import io

import numpy as np
import soundfile

from spirit_jax.tokens.streams import SAMPLE_RATE


def player(wav: np.ndarray) -> str:
    """Float32 samples at 16 kHz as a 16-bit wav data URI."""
    file = io.BytesIO()
    soundfile.write(file, np.clip(wav, -1, 1), SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return "data:audio/wav;base64," + base64.b64encode(file.getvalue()).decode("ascii")
