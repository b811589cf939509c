"""Codes that a codec is given to speak."""

from spirit_jax.errors import UserError
from spirit_jax.units import SpeechTokens, SpokenUnits


def check_codes(speech: SpeechTokens | SpokenUnits, units: int, pitches: int, styles: int) -> None:
    """Raises a UserError for a code that a codec with so many of each hasn't."""
    for name, count in (("units", units), ("pitch", pitches), ("style", styles)):
        codes = getattr(speech, name)
        if codes is not None and len(unknown := codes[(codes < 0) | (codes >= count)]):
            raise UserError(f"{name} code", int(unknown[0]), f"must be one of the codec's {count}", "decode with the codec that encoded")
