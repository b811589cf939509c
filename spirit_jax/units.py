"""What speech is made of between the codec and the token grammar: unit sequences and their rates (paper section 3.1)."""

import dataclasses

import numpy as np

from spirit_jax.errors import UserError

SAMPLE_RATE = 16_000
UNIT_RATE = 25.0
UNIT_TIME_RATE = 24.99  # units are merged with pitch and style at index / 24.99: observed in the published release
PITCH_RATE = 12.5
STYLE_RATE = 1.0


@dataclasses.dataclass(frozen=True)
class SpeechTokens:
    """One utterance's codes, not deduplicated.

    units: int32 [N] at 25 Hz. pitch: int32 [M] at 12.5 Hz or None. style: int32 [K] at 1 Hz or None.
    """

    units: np.ndarray
    pitch: np.ndarray | None = None
    style: np.ndarray | None = None

    def __post_init__(self):
        for name in ("units", "pitch", "style"):
            codes = getattr(self, name)
            if codes is None:
                continue
            codes = np.asarray(codes, np.int32)
            if codes.ndim != 1:
                raise UserError(f"SpeechTokens.{name}", codes.shape, "must be one sequence", "pass a 1-D array for one utterance")
            object.__setattr__(self, name, codes)

    @property
    def duration_s(self) -> float:
        """Seconds of speech that the units stand for."""
        return len(self.units) / UNIT_RATE
