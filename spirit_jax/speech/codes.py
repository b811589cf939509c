"""Codes that a codec is given to speak."""

from spirit_jax.core.errors import UserError
from spirit_jax.tokens.streams import SpeechTokens, SpokenUnits
from spirit_jax.tokens.strings import parse

Codes = SpeechTokens | SpokenUnits | str


def read_codes(speech: Codes, units: int, pitches: int, styles: int) -> SpeechTokens | SpokenUnits:
    """The codes themselves, a token string parsed. UserError for a code that a codec with so many of each
    hasn't.
    """
    read = parse(speech) if isinstance(speech, str) else speech
    for name, count in (("units", units), ("pitch", pitches), ("style", styles)):
        codes = getattr(read, name)
        if codes is not None and len(unknown := codes[(codes < 0) | (codes >= count)]):
            rule, fix = f"must be one of the codec's {count}, from 0", "decode with the codec that encoded"
            if not count:
                rule, fix = (
                    f"this codec has no {name} codes",
                    "leave them out, or decode with the codec that encoded",
                )
            raise UserError(f"{name} code", int(unknown[0]), rule, fix)
    return read
