"""How a Hugging Face folder of the wav2vec 2.0 family prepares a waveform."""

from pathlib import Path

from spirit_jax.core.files import read_optional_json
from spirit_jax.core.foreign_config import ForeignConfig
from spirit_jax.speech.encoders.wav2vec2.checkpoints import HF_EPS
from spirit_jax.speech.encoders.wav2vec2.foreign_keys import HF_PREPROCESSOR, HF_PREPROCESSOR_FIXED

PREPROCESSOR = "preprocessor_config.json"


def read_normalize_eps(folder: str | Path) -> float | None:
    """The epsilon of the waveform's normalisation, None where the folder asks for none. UserError for a
    preprocessor of another kind.
    """
    preprocessor = ForeignConfig(PREPROCESSOR, read_optional_json(Path(folder) / PREPROCESSOR))
    preprocessor.require(HF_PREPROCESSOR_FIXED)
    normalized = preprocessor.get("do_normalize", True)  # the default of transformers
    preprocessor.finish(HF_PREPROCESSOR)
    return HF_EPS if normalized else None
