"""Held-out records as questions: which of several continuations is the right one? Items and distractors are
chosen here, not scored.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from spirit_jax.generation.likelihood import Pair
from spirit_jax.tokens.interleave import Record, boundaries, continuation
from spirit_jax.tokens.text import TextTokenizer
from spirit_jax.tokens.vocabulary import Modality, Vocabulary

DISTRACTORS = 4
CLAUSE_ENDS = (",", ";", ":")


@dataclasses.dataclass(frozen=True)
class Direction:
    """From which modality to which: the paper's S->T and so on."""

    name: str
    prompt: Modality
    target: Modality


DIRECTIONS = (
    Direction("s2t", Modality.SPEECH, Modality.TEXT),
    Direction("t2s", Modality.TEXT, Modality.SPEECH),
    Direction("s2s", Modality.SPEECH, Modality.SPEECH),
    Direction("t2t", Modality.TEXT, Modality.TEXT),
)


@dataclasses.dataclass(frozen=True)
class Half:
    """A record cut in two for one direction. `ending` is the text of what the target says."""

    voice: str
    prompt: np.ndarray
    target: np.ndarray
    ending: str


@dataclasses.dataclass(frozen=True)
class Item:
    """One prompt with its right target and wrong ones."""

    prompt: np.ndarray
    right: np.ndarray
    wrong: tuple[np.ndarray, ...]

    @property
    def pairs(self) -> list[Pair]:
        """To be scored: the right one first."""
        return [(self.prompt, target) for target in (self.right, *self.wrong)]


def words_of(record: Record, tokenizer: TextTokenizer) -> list[str]:
    """A record's words as text, punctuation attached."""
    offsets = record.word_offsets
    return [
        tokenizer.decode(record.text_ids[begin:end]).strip() for begin, end in zip(offsets[:-1], offsets[1:])
    ]


def cut_word(words: list[str], allowed: np.ndarray) -> int | None:
    """Where to cut: after the clause's end nearest the middle, else nearest the middle; among `allowed`
    words, None if there are none.
    """
    after_clauses = [word for word in allowed.tolist() if words[word - 1].endswith(CLAUSE_ENDS)]
    return min(after_clauses or allowed.tolist(), key=lambda word: abs(word - len(words) / 2), default=None)


def make_items(
    records: Sequence[Record],
    direction: Direction,
    vocabulary: Vocabulary,
    tokenizer: TextTokenizer,
    distractors: int = DISTRACTORS,
    seed: int = 0,
) -> list[Item]:
    """Items of all aligned records that can be cut. Distractors: the endings of other records of the same
    voice that say something else, those nearest in tokens; equally near ones are drawn by `seed`. A record
    without any distractor gives no item.
    """
    rng = np.random.default_rng(seed)
    halves = [half for record in records if (half := _halve(record, direction, vocabulary, tokenizer))]
    lengths = np.array([len(half.target) for half in halves])
    voices = np.array([half.voice for half in halves])
    endings = [half.ending for half in halves]
    items = []
    for i, half in enumerate(halves):
        others = rng.permutation(
            [j for j in np.flatnonzero(voices == half.voice) if endings[j] != half.ending]
        ).astype(np.int64)
        near = others[np.argsort(np.abs(lengths[others] - lengths[i]), kind="stable")]
        wrong = _distinct(near, endings, distractors)
        if wrong:
            items.append(Item(half.prompt, half.target, tuple(halves[j].target for j in wrong)))
    return items


def _distinct(order: np.ndarray, endings: list[str], count: int) -> list[int]:
    """The first `count` of `order` that say different things."""
    chosen: dict[str, int] = {}
    for j in order:
        chosen.setdefault(endings[j], int(j))
        if len(chosen) == count:
            break
    return list(chosen.values())


def _halve(
    record: Record, direction: Direction, vocabulary: Vocabulary, tokenizer: TextTokenizer
) -> Half | None:
    words = words_of(record, tokenizer)
    cut = cut_word(words, boundaries(record, vocabulary))
    if cut is None:
        return None
    return Half(
        record.voice,
        *continuation(record, cut, direction.prompt, direction.target, vocabulary),
        " ".join(words[cut:]),
    )
