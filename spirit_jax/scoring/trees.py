"""Sequences that begin alike, as trees: what they share is read once. Shapes: B rows, T slots a row.

A slot holds a token of a sequence and predicts the next one. A tree has the slots of all its sequences in the
order of their ids, so sequences that share their first ids follow each other. A sequence uses the slots of
the one before it as long as token and target are the same, and then has its own. Attention goes from a token
to its own sequence only (`attention.branch_mask`), so each sequence is read as if it were alone.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from spirit_jax.core.batching import pack
from spirit_jax.model.batch import Batch

SHARED = 1 / 4  # a sequence joins a tree that has at least this share of it already (our choice)


@dataclasses.dataclass
class Tree:
    """slots: of each sequence by its number, int64 [ids - 1]. last: the ids of the last sequence."""

    size: int
    slots: dict[int, np.ndarray]
    last: np.ndarray

    def count_shared(self, ids: np.ndarray) -> int:
        """How many slots a sequence would share that comes after all others in order."""
        both = min(len(ids), len(self.last))
        differ = np.flatnonzero(ids[:both] != self.last[:both])
        return max(0, int(differ[0] if len(differ) else both) - 1)

    def add(self, number: int, ids: np.ndarray, shared: int) -> None:
        """Adds a sequence of at least two ids; shared: from `count_shared`."""
        old = next(reversed(self.slots.values()))[:shared] if shared else np.zeros(0, np.int64)
        new = np.arange(self.size, self.size + len(ids) - 1 - shared)
        self.slots[number] = np.concatenate([old, new])
        self.size, self.last = self.size + len(new), ids


def grow_trees(sequences: Sequence[np.ndarray], width: int) -> list[Tree]:
    """Trees of at most `width` slots that hold all sequences: int32 ids from 0 on, 2 to width + 1 of them."""
    trees: list[Tree] = []
    for number in sorted(range(len(sequences)), key=lambda i: sequences[i].astype(">i4").tobytes()):
        ids = sequences[number]
        shared = trees[-1].count_shared(ids) if trees else 0
        if shared < SHARED * len(ids) or trees[-1].size + len(ids) - 1 - shared > width:
            trees.append(Tree(0, {}, np.zeros(0, np.int32)))
            shared = 0
        trees[-1].add(number, ids, shared)
    return trees


def pack_trees(trees: Sequence[Tree], width: int) -> list[list[Tree]]:
    """Rows of at most `width` slots that hold all trees."""
    rows = pack([(tree, np.zeros(tree.size + 1, np.int8)) for tree in trees], width)
    return [[tree for tree, _ in row] for row in rows]


def fill_rows(
    rows: Sequence[Sequence[Tree]], sequences: Sequence[np.ndarray], count: int, width: int, branched: bool
) -> Batch:
    """Rows of trees as a batch of host arrays [count, width]; a tree is a segment. Other slots are padding.

    branched: some tree has several sequences, so that attention needs `Batch.seen_until`.
    """
    tokens_BT, targets_BT, segment_ids_BT, positions_BT = (
        np.zeros((count, width), np.int32) for _ in range(4)
    )
    weights_BT, seen_until_BT = np.ones((count, width), np.float32), np.full((count, width), width, np.int32)
    for row, trees in enumerate(rows):
        start = 0
        for segment, tree in enumerate(trees, 1):
            segment_ids_BT[row, start : start + tree.size] = segment
            for number, slots in tree.slots.items():
                ids, at = sequences[number], start + slots
                tokens_BT[row, at], targets_BT[row, at] = ids[:-1], ids[1:]
                positions_BT[row, at], seen_until_BT[row, at] = np.arange(len(at)), at[-1] + 1
            start += tree.size
    seen_until_BT = seen_until_BT if branched else None
    return Batch(  # pyright: ignore[reportArgumentType]
        tokens_BT, targets_BT, weights_BT, segment_ids_BT, positions_BT, seen_until=seen_until_BT
    )


def starts_of(trees: Sequence[Tree]) -> list[int]:
    """The first slot of each tree of a row."""
    return np.cumsum([0, *(tree.size for tree in trees)])[:-1].tolist()
