"""A document's tokens as a page shows them: runs of one kind, with what they stand for."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from spirit_jax.tokens.interleave import Record
from spirit_jax.tokens.text import TextTokenizer
from spirit_jax.tokens.vocabulary import Vocabulary

TEXT, TAG = -1, -2  # kinds of ids, besides the index of a stream


class TokenRun(NamedTuple):
    """Neighbouring tokens of one kind: `tag`, `text`, or the name of a stream. shown: a text, or one string
    for each other token.
    """

    kind: str
    shown: Sequence[str]
    count: int


def runs_of(
    ids: np.ndarray,
    vocabulary: Vocabulary,
    tokenizer: TextTokenizer | None,
    record: Record | None = None,
    words: Sequence[str] = (),
) -> list[TokenRun]:
    """The runs of a document, int32 ids [N]. Without a tokenizer its text is found in the `words` of
    `record`.
    """
    kinds_N = _kinds(ids, vocabulary)
    edges = [0, *(np.flatnonzero(kinds_N[1:] != kinds_N[:-1]) + 1), len(ids)]
    runs = []
    for first, last in zip(edges, edges[1:]):
        part, kind = ids[first:last], int(kinds_N[first])
        if kind == TEXT:
            shown = tokenizer.decode(part).strip() if tokenizer else _find_words(part, record, words)
            runs.append(TokenRun("text", [shown], len(part)))
        elif kind == TAG:
            runs.append(TokenRun("tag", list(_tags(part, vocabulary)), len(part)))
        else:
            codes = part - vocabulary.starts[kind]
            runs.append(TokenRun(vocabulary.streams[kind].name, [str(code) for code in codes], len(part)))
    return runs


def _kinds(ids: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    special = (ids == vocabulary.bos) | (ids == vocabulary.eos)
    kinds_N = np.where((ids < vocabulary.text_size) & ~special, TEXT, TAG)
    if not vocabulary.has_speech:
        return kinds_N
    stream_N = np.searchsorted(vocabulary.starts, ids, side="right") - 1
    return np.where(ids >= vocabulary.speech_start, stream_N, kinds_N)


def _tags(ids: np.ndarray, vocabulary: Vocabulary) -> Iterator[str]:
    for id in ids.tolist():
        if id in (vocabulary.bos, vocabulary.eos):
            yield "<s>" if id == vocabulary.bos else "</s>"
        else:
            yield "[Text]" if id == vocabulary.text_tag else "[Speech]"


def _find_words(ids: np.ndarray, record: Record | None, words: Sequence[str]) -> str:
    """The words that have these ids; how many ids there are if no words do."""
    if record is not None and len(words) == record.words > 0:
        offsets = record.word_offsets
        for first, begin in enumerate(offsets[:-1]):
            if np.array_equal(record.text_ids[begin : begin + len(ids)], ids):
                return " ".join(words[first : int(np.searchsorted(offsets, begin + len(ids)))])
    return f"({len(ids)} text tokens)"
