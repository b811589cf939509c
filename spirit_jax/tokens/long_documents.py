"""Documents longer than a row, cut into stretches that begin as a prompt does.

Without a head, all but the first stretch of a long recording would begin in the middle of units, as no prompt
does (`prompt_format`). The head is what a prompt of that place has: BOS, the tag of the modality, and of
speech the codes of slow streams in force. A tag that comes next anyway is not repeated.

A head is given, not predicted: every id of a document but its first is a target exactly once (our choice).
"""

import itertools
from typing import NamedTuple

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.tokens.codes_in_force import NONE, codes_in_force
from spirit_jax.tokens.vocabulary import Vocabulary


class Stretch(NamedTuple):
    """A document, or a part of a long one. ids: int32 [n], whose first `given` ids are no targets."""

    ids: np.ndarray
    given: int


def cut_document(ids: np.ndarray, length: int, vocabulary: Vocabulary) -> list[Stretch]:
    """The document int32 [n] as stretches of at most `length` + 1 ids: pairs (token, target) for a row.

    One without a target has no stretches. UserError for a long document in rows that a head fills.
    """
    if len(ids) < 2:
        return []
    if len(ids) <= length + 1:
        return [Stretch(ids, 1)]
    check_length(length, vocabulary)
    heads = _Heads(ids, vocabulary)
    stretches, begin, head = [], 1, ids[:1]
    while begin < len(ids):
        end = begin + length + 1 - len(head)
        stretches.append(Stretch(np.concatenate([head, ids[begin:end]]), len(head)))
        begin, head = end, heads.before(end)
    return stretches


def check_length(length: int, vocabulary: Vocabulary) -> None:
    """Raises a UserError if the longest head leaves no room in a row of `length` tokens."""
    longest = 1 + len(vocabulary.streams)  # BOS, a tag, and a code of each stream but the units
    if length < longest:
        rule = f"the head of a long document takes up to {longest}"
        raise UserError("tokens of a row", length, rule, "set a longer data.sequence_length")


class _Heads:
    """The head of a stretch that begins at any place of a document."""

    def __init__(self, ids: np.ndarray, vocabulary: Vocabulary):
        self._ids, self._vocabulary = ids, vocabulary
        bounds = [vocabulary.text_size, vocabulary.speech_start, *vocabulary.starts[1:], vocabulary.size]
        self._tag_at, *self._at = (
            np.flatnonzero((ids >= first) & (ids < end)) for first, end in itertools.pairwise(bounds)
        )

    def before(self, begin: int) -> np.ndarray:
        """int32 [at most 1 + streams] for the stretch of ids[begin:]."""
        head = [self._vocabulary.bos]
        after = int(self._tag_at.searchsorted(begin))
        if after and begin not in self._tag_at[after : after + 1]:
            tag = self._ids[self._tag_at[after - 1]]
            head.append(tag)
            if tag == self._vocabulary.speech_tag:
                end = self._tag_at[after] if after < len(self._tag_at) else None
                codes = codes_in_force(self._ids[:end], self._at, np.array([begin]))[0]
                head += codes[codes != NONE].tolist()
        return np.array(head, np.int32)
