"""English pronunciations in ARPAbet, for words that a dictionary lacks, from what espeak-ng says."""

import functools
import re
import sys
import unicodedata

from data_prep.espeak import transcribe
from spirit_jax.core.errors import UserError

ARPABET = {
    "aɪɚ": "AY ER", "aɪə": "AY AH", "aʊɚ": "AW ER", "iə": "IY AH", "oːɹ": "AO R", "ɔːɹ": "AO R",
    "eɪ": "EY", "aɪ": "AY", "ɔɪ": "OY", "aʊ": "AW", "oʊ": "OW", "əʊ": "OW", "iː": "IY", "uː": "UW",
    "ɑː": "AA", "ɔː": "AO", "ɜː": "ER", "əl": "AH L", "tʃ": "CH", "dʒ": "JH",
    "i": "IY", "ɪ": "IH", "ᵻ": "IH", "e": "EY", "ɛ": "EH", "æ": "AE", "a": "AE", "ɑ": "AA", "ɒ": "AA",
    "ɔ": "AO", "o": "OW", "ʊ": "UH", "u": "UW", "ʌ": "AH", "ə": "AH", "ɐ": "AH", "ɚ": "ER", "ɜ": "ER",
    "p": "P", "b": "B", "t": "T", "ɾ": "T", "d": "D", "k": "K", "ɡ": "G", "g": "G", "f": "F", "v": "V",
    "θ": "TH", "ð": "DH", "s": "S", "z": "Z", "ʃ": "SH", "ʒ": "ZH", "h": "HH", "x": "K", "m": "M",
    "n": "N", "ŋ": "NG", "l": "L", "ɫ": "L", "ɹ": "R", "r": "R", "j": "Y", "w": "W", "ʔ": "T", "ɬ": "L",
}  # fmt: skip
# stress, length that no phone above has, syllabic marks, ties, word boundaries
IGNORED = "ˈˌː̩͡‍ -_'"
PHONE = re.compile("|".join(sorted(map(re.escape, ARPABET), key=len, reverse=True)) + f"|[{IGNORED}]|.")
SPEAKABLE = re.compile(r"[a-z']*[a-z][a-z']*")


@functools.cache
def pronounce(word: str) -> str | None:
    """ARPAbet phones of a lower-case word, separated by spaces. None for a word that has letters of another
    script, and where espeak-ng is not installed.
    """
    plain = "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))
    if not SPEAKABLE.fullmatch(plain) or not _espeak_is_there():
        return None
    return to_arpabet(transcribe(word, "en-us"))


def to_arpabet(ipa: str) -> str | None:
    """ARPAbet of an IPA transcription; None if it has a sound that American English lacks.

    >>> to_arpabet("ʌnmjˈuːt")
    'AH N M Y UW T'
    """
    phones = []
    for sound in PHONE.findall(unicodedata.normalize("NFC", ipa)):
        if sound in ARPABET:
            phones += [phone for phone in ARPABET[sound].split() if phones[-1:] != [phone]]
        elif sound not in IGNORED:
            return None
    return " ".join(phones) or None


@functools.cache
def _espeak_is_there() -> bool:
    try:
        transcribe("a", "en-us")
    except UserError as missing:
        print(f"warning: words without a pronunciation stay unaligned: {missing}", file=sys.stderr)
        return False
    return True
