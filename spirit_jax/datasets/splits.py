"""Which rows of a corpus are for training and which are held out.

All stages use this definition, so no part of a codec is trained on recordings that evaluate another part.
"""

import dataclasses
import hashlib
import math
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from spirit_jax.core.errors import UserError
from spirit_jax.datasets.sentences import HASH_BITS, hash_sentence

TRAINING_SPLITS = ("train", "pairs", "speech", "text")
# Where a corpus holds nothing out (our choices): one row in EVERY, at least LEAST, at most one in MOST_EVERY.
EVERY, LEAST, MOST_EVERY = 50, 4, 5


def split_rows(rows: Iterable[dict], held_out: str | None = None) -> tuple[list[dict], list[dict]]:
    """Training rows and held-out rows, each in order.

    held_out: name of the held-out split; None: every split that is not for training. Where it has no row,
    `hold_out` chooses from the training rows. UserError if either side is empty.
    """
    rows = list(rows)
    train = [row for row in rows if row["split"] in TRAINING_SPLITS]
    others = [
        row for row in rows if (row["split"] == held_out if held_out else row["split"] not in TRAINING_SPLITS)
    ]
    if not others:
        train, others = hold_out(train)
    if not train or not others:
        rule = f"for training and {len(others)} held out are too few"
        raise UserError("corpus", f"{len(train)} recordings", rule, "give more recordings")
    return train, others


def hold_out(rows: list[dict]) -> tuple[list[dict], list[dict]]:
    """Training rows and held-out rows, each in order, chosen by a hash of their ids.

    Of a single row none is left for training.
    """
    count = min(max(LEAST, len(rows) // EVERY), max(1, len(rows) // MOST_EVERY))
    by_hash = sorted(rows, key=lambda row: (zlib.crc32(row["id"].encode()), row["id"]))
    chosen = {row["id"] for row in by_hash[:count]}
    return [row for row in rows if row["id"] not in chosen], [row for row in rows if row["id"] in chosen]


HELD_SENTENCES, HELD_VOICES = "heldout", "heldout_voice"
Rows = Callable[[], Iterable[Mapping[str, Any]]]  # all rows of a corpus, again and again


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """Why a row is in no split."""

    reason: str
    detail: str


IN_TRAINING = LeftOut(
    "sentence_in_training", f"its voice is in {HELD_VOICES}, its sentence stays in training"
)
IN_VOICES = LeftOut("sentence_held_out", f"its sentence is in {HELD_VOICES}, its voice stays in training")
IN_GIVEN = LeftOut(
    "sentence_held_out", f"its voice is in {HELD_VOICES}, its sentence in a split of the corpus"
)


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """Which sentences and voices are held out of the training splits. No sentence stands in two of train,
    `heldout` and `heldout_voice`, and no held-out voice in train. A row that would break this is left out.

    Rows of other splits, which the corpus itself holds out, keep them.

    share: of the sentences, chosen by a hash of the words. voices: chosen by `hold_voices`. spoken: hashes of
    the sentences that these voices say; trained: those of them that are also in training and stay there.
    given: hashes of the sentences of the corpus' own held-out splits.
    """

    share: float
    voices: frozenset[str]
    spoken: frozenset[int]
    trained: frozenset[int]
    given: frozenset[int]

    def split_of(self, row: Mapping[str, Any]) -> str | LeftOut:
        """The row's split, or why it has none."""
        if row["split"] not in TRAINING_SPLITS:
            return row["split"]
        sentence = sentence_of(row)
        if row["voice"] in self.voices:
            if sentence in self.given:
                return IN_GIVEN
            return IN_TRAINING if sentence in self.trained else HELD_VOICES
        if sentence is None or sentence in self.given or not is_chosen(sentence, self.share):
            return row["split"]
        return IN_VOICES if sentence in self.spoken else HELD_SENTENCES

    def leaks(self, row: Mapping[str, Any]) -> bool:
        """Whether the row is for training, though the corpus itself holds its sentence out."""
        return self.split_of(row) in TRAINING_SPLITS and sentence_of(row) in self.given


def choose_held_out(rows: Rows, sentences: float, voices: float) -> HeldOut:
    """Chooses shares, 0 to 1, of the sentences and of the voices of the training splits.

    Reads the rows three times. Keeps the names of all voices, and a hash of each held-out sentence.
    """
    names, given = set(), set()
    for row in rows():
        if row["split"] in TRAINING_SPLITS:
            names.add(row["voice"])
        else:
            given.add(sentence_of(row))
    given -= {None}
    held = hold_voices(names - {""}, voices)
    spoken = {sentence_of(row) for row in _training(rows) if row["voice"] in held} if held else set()
    spoken -= {None}
    others = (sentence_of(row) for row in _training(rows) if row["voice"] not in held) if spoken else ()
    trained = {id for id in others if id in spoken and (id in given or not is_chosen(id, sentences))}
    return HeldOut(sentences, held, frozenset(spoken), frozenset(trained), frozenset(given))


def _training(rows: Rows) -> Iterable[Mapping[str, Any]]:
    return (row for row in rows() if row["split"] in TRAINING_SPLITS)


def hold_voices(names: Iterable[str], share: float) -> frozenset[str]:
    """A share of the voices, rounded up, but not all; chosen by a hash of their names."""
    names = sorted(names, key=lambda name: (hashlib.blake2b(name.encode()).digest(), name))
    return frozenset(names[: min(math.ceil(share * len(names)), len(names) - 1)] if names else ())


def sentence_of(row: Mapping[str, Any]) -> int | None:
    """The hash of a row's sentence; None without one."""
    words = " ".join(word for word, *_ in row["words"]) if row["words"] else row["text"]
    return hash_sentence(words) if words else None


def is_chosen(sentence: int, share: float) -> bool:
    """Whether a sentence's hash is in a share of all hashes."""
    return sentence < share * 2**HASH_BITS
