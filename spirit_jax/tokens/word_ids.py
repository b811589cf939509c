"""Ids of texts put together from those of their words, which are looked up.

Where no piece of a vocabulary goes on after a space, a text's ids are those of its words one after the other,
and a corpus has far fewer words than places of words. So a text costs a look-up a word.
"""

from collections.abc import Callable

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.tokens import sentencepiece_file

MARK = "▁"  # how a piece spells a space
MOST_WORDS = 2**18  # that are kept
LONGEST_WORD = 64  # letters; longer ones are rarely seen twice


def divides_at_spaces(content: bytes) -> bool:
    """Whether a `tokenizer.model` divides a text at single spaces: a BPE without normalisation, as Llama's,
    that writes a space before each word, has a piece for it, and none with a space after a letter.
    """
    try:
        model = sentencepiece_file.read(content)
    except UserError:  # a field that may change anything
        return False
    pieces = {piece.text for piece in model.pieces}
    inside = any(MARK in piece.lstrip(MARK) for piece in pieces)
    return model.add_dummy_prefix and not model.obstacles and MARK in pieces and not inside


class WordIds(dict[str, bytes]):
    """The ids of words, as int32 bytes. encode: gives those of one that is not kept."""

    def __init__(self, encode: Callable[[str], list[int]]):
        super().__init__()
        self._encode = encode

    def __missing__(self, word: str) -> bytes:
        ids = np.array(self._encode(word), np.int32).tobytes()
        if len(self) < MOST_WORDS and len(word) <= LONGEST_WORD:
            self[word] = ids
        return ids

    def encode_text(self, text: str) -> np.ndarray | None:
        """The ids of a text, int32; None for one that is not words with single spaces between them."""
        words = text.split(" ")
        if "" in words or MARK in text:
            return None
        return np.frombuffer(b"".join(map(self.__getitem__, words)), np.int32)
