"""What speech is made of between the codec and the token grammar: unit sequences and their rates (paper
section 3.1).
"""

import dataclasses

import numpy as np

from spirit_jax.core.errors import UserError

SAMPLE_RATE = 16_000
UNIT_RATE = 25.0
# units are merged with pitch and style at index / 24.99: observed in the published release
UNIT_TIME_RATE = 24.99
PITCH_RATE = 12.5
STYLE_RATE = 1.0
RATES = {"units": UNIT_RATE, "pitch": PITCH_RATE, "style": STYLE_RATE}  # of the codes, not deduplicated
# pitch without style: the published release picks one of these at random; we take the first, a choice
MISSING_STYLES = (71, 68, 98)


@dataclasses.dataclass(frozen=True)
class SpeechTokens:
    """One utterance's codes, not deduplicated.

    units: int32 [N] at 25 Hz. pitch: int32 [M] at 12.5 Hz or None. style: int32 [K] at 1 Hz or None.
    """

    units: np.ndarray
    pitch: np.ndarray | None = None
    style: np.ndarray | None = None

    def __post_init__(self):
        _to_codes(self)

    @property
    def duration_s(self) -> float:
        """Seconds of speech that the units stand for."""
        return len(self.units) / UNIT_RATE


@dataclasses.dataclass(frozen=True)
class SpokenUnits:
    """What a token string or a model says: units in order, whose durations nobody has said.

    units: int32 [N]. pitch, style: int32 [N], those in force at each unit, or None where none is said.
    """

    units: np.ndarray
    pitch: np.ndarray | None = None
    style: np.ndarray | None = None

    def __post_init__(self):
        _to_codes(self)
        for name in ("pitch", "style"):
            if (codes := getattr(self, name)) is not None and len(codes) != len(self.units):
                raise UserError(
                    f"SpokenUnits.{name}",
                    f"{len(codes)} codes",
                    f"must be one for each of {len(self.units)} units",
                    "carry them on",
                )

    def last(self, frames_N: np.ndarray) -> SpeechTokens:
        """The utterance in which unit n lasts frames_N[n] times 40 ms, with pitch and style at
        their rates.
        """

        def stretch(codes: np.ndarray | None, rate: float) -> np.ndarray | None:
            return None if codes is None else np.repeat(codes, frames_N)[:: round(UNIT_RATE / rate)]

        return SpeechTokens(
            np.repeat(self.units, frames_N), stretch(self.pitch, PITCH_RATE), stretch(self.style, STYLE_RATE)
        )


def _to_codes(speech: SpeechTokens | SpokenUnits) -> None:
    """Makes each stream an int32 array, or raises a UserError where it is no sequence of whole numbers."""
    for name in ("units", "pitch", "style"):
        codes = getattr(speech, name)
        if codes is None:
            continue
        what = f"{type(speech).__name__}.{name}"
        try:
            given = np.asarray(codes)
            with np.errstate(invalid="ignore"):
                codes = given.astype(np.int32)
        except (ValueError, TypeError, OverflowError) as error:
            raise UserError(
                what, str(codes)[:40], "must be whole numbers", "pass a 1-D array for one utterance"
            ) from error
        if codes.ndim != 1:
            raise UserError(what, codes.shape, "must be one sequence", "pass a 1-D array for one utterance")
        if given.dtype.kind in "iuf" and len(other := given[codes != given]):
            raise UserError(
                f"{what} code", other[0].item(), "must be a whole number of 32 bits", "mend the codes"
            )
        object.__setattr__(speech, name, codes)
