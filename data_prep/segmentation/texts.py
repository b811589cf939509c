"""Which part of a text belongs to each of its timed words, so that a text is cut where its sound is cut.

The text stays as it is written; words with times may be written otherwise, or be missing. Legend: W words.
"""

import dataclasses
import difflib
import re
from collections.abc import Sequence

import numpy as np

TOKEN = re.compile(r"\S+")
UNKNOWN = -1
LEAST_FOUND = 0.5  # of the text's words; with fewer, the words are of another text


@dataclasses.dataclass(frozen=True)
class Places:
    """begin_W: where the text of each timed word begins, UNKNOWN where the text cannot be cut before it.
    starts, ends: whether the first and the last spoken word of the text have times.
    """

    begin_W: np.ndarray
    starts: bool
    ends: bool


def find_places(text: str, words: Sequence[str]) -> Places | None:
    """The places of words (each may be several) in a text; None if they are of another text.

    The text cannot be cut where a spoken word without times is between two words. What has no letters or
    digits, such as a dash, belongs to the word before it.
    """
    tokens = list(TOKEN.finditer(text))
    written = [token[0] for token in tokens]
    split = [word.split() for word in words]
    firsts = np.cumsum([0, *map(len, split)])
    flat = [token for tokens in split for token in tokens]
    found = np.append(np.arange(len(flat)) if flat == written else _match(flat, written), UNKNOWN)
    spoken = np.array([bool(_spoken(token)) for token in written], bool)
    if (found >= 0).sum() < LEAST_FOUND * spoken.sum():
        return None
    before = np.append(0, np.cumsum(spoken))  # spoken tokens before each token
    first_W, last_W = (found[index_W] for index_W in _spoken_ends(flat, firsts))
    known = (first_W[1:] >= 0) & (last_W[:-1] >= 0)
    known &= before[np.maximum(first_W[1:], 0)] == before[np.maximum(last_W[:-1], 0) + 1]
    begins = np.array([token.start() for token in tokens])
    begin_W = found[firsts[:-1]]
    begin_W = begins[np.maximum(np.where(begin_W >= 0, begin_W, first_W), 0)]
    starts = bool(first_W[0] >= 0 and before[first_W[0]] == 0)
    ends = bool(last_W[-1] >= 0 and before[last_W[-1] + 1] == before[-1])
    return Places(np.append(0, np.where(known, begin_W[1:], UNKNOWN)), starts, ends)


def _spoken_ends(tokens: Sequence[str], firsts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last spoken token of each word, UNKNOWN where none is. firsts: [W + 1] the token that
    each word begins with, and their number.
    """
    at = np.arange(len(tokens))
    spoken = np.array([bool(_spoken(token)) for token in tokens], bool)
    first_W = np.minimum.reduceat(np.where(spoken, at, len(tokens)), firsts[:-1])
    last_W = np.maximum.reduceat(np.where(spoken, at, UNKNOWN), firsts[:-1])
    return np.where(first_W == len(tokens), UNKNOWN, first_W), last_W


def _match(words: Sequence[str], text: Sequence[str]) -> np.ndarray:
    """The token of the text that each word is, whatever their casing and punctuation; UNKNOWN for none."""
    found = np.full(len(words), UNKNOWN)
    ours = [(index, said) for index, word in enumerate(words) if (said := _spoken(word))]
    theirs = [(index, said) for index, word in enumerate(text) if (said := _spoken(word))]
    matcher = difflib.SequenceMatcher(None, [w for _, w in ours], [w for _, w in theirs], autojunk=False)
    for first, other, length in matcher.get_matching_blocks():
        for offset in range(length):
            found[ours[first + offset][0]] = theirs[other + offset][0]
    return found


def _spoken(token: str) -> str:
    """What of a token is spoken."""
    return "".join(c for c in token.casefold() if c.isalnum())
