"""Casing of texts, for corpora in capitals."""

import enum
import re
from collections.abc import Sequence

SENTENCE_END = re.compile(r"[.!?][\"')\]]*$")
FIRST_PERSON = re.compile(r"\bi\b(?=$|['’.,;:!?\"])")


class Casing(enum.Enum):
    """A text's casing: unchanged, lower, or lower with capitals at the start of sentences and for "I"."""

    AS_IS = "as-is"
    LOWER = "lower"
    SENTENCE = "sentence"


def recase(words: Sequence[str], casing: Casing) -> list[str]:
    """The words of a text in another casing."""
    if casing is Casing.AS_IS:
        return list(words)
    lower = [word.lower() for word in words]
    if casing is Casing.LOWER:
        return lower
    starts = [True, *(bool(SENTENCE_END.search(word)) for word in lower[:-1])]
    return [_capitalize(word) if start else FIRST_PERSON.sub("I", word) for start, word in zip(starts, lower)]


def _capitalize(word: str) -> str:
    """With its first letter in upper case, after quotes and brackets."""
    at = next((i for i, c in enumerate(word) if c.isalnum()), 0)
    return word[:at] + word[at : at + 1].upper() + word[at + 1 :]
