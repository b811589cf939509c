"""When two texts are the same sentence: they may differ in how it is written, not in what is said."""

import functools
import hashlib
import re
import sys
import unicodedata

HASH_BITS = 63  # as a signed integer of 8 bytes
APOSTROPHES = str.maketrans("", "", "'’")


def hash_sentence(text: str) -> int | None:
    """`HASH_BITS` bits that all spellings of a sentence share; None for a text without letters or digits."""
    bare = normalize_sentence(text)
    digest = hashlib.blake2b(bare.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 64 - HASH_BITS if bare else None


def normalize_sentence(text: str) -> str:
    """The words of a text with single spaces between them, without casing, punctuation, symbols and width."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_words().findall(folded.translate(APOSTROPHES)))


@functools.cache
def _words() -> re.Pattern[str]:
    """Letters and digits, and the marks that belong to them, such as vowels of Devanagari."""
    marks = "".join(c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c)[0] == "M")
    return re.compile(rf"(?:[^\W_]|[{marks}])+")
