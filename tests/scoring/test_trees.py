"""Sequences that begin alike are in a row once, and each sees only its own tokens."""

import numpy as np
import pytest

from spirit_jax.model.attention import branch_mask
from spirit_jax.scoring.trees import fill_rows, grow_trees, pack_trees

ANSWERS = [[1, 2, 3, 4, 5], [1, 2, 3, 4, 6], [1, 2, 3, 4, 7, 8]]


def arrays(*sequences):
    return [np.array(ids, np.int32) for ids in sequences]


def families(count, seed=0):
    """Random sequences of which several begin alike, twice over; some are equal, and some begin others."""
    rng = np.random.default_rng(seed)
    heads = [rng.integers(0, 9, rng.integers(1, 30)) for _ in range(4)]
    middles = [np.concatenate([heads[i % 4], rng.integers(0, 9, rng.integers(0, 9))]) for i in range(9)]
    ends = [rng.integers(0, 9, rng.integers(1, 9)) for _ in range(count)]
    return arrays(*(np.concatenate([middles[rng.integers(9)], end]) for end in ends))


def rows_of(sequences, width):
    rows = pack_trees(grow_trees(sequences, width), width)
    return rows, fill_rows(rows, sequences, len(rows) + 1, width, branched=True)


def seen_by(batch, row, slot):
    """The slots to which a slot attends, in order."""
    return np.flatnonzero(np.asarray(branch_mask(batch.seen_until))[row, 0, slot])


def test_what_is_shared_is_there_once():
    (tree,) = grow_trees(arrays(*ANSWERS), 64)
    assert tree.size == 3 + 1 + 1 + 2  # the slots of 1, 2 and 3; that of 4 for each of its three targets


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("width", [48, 256])
def test_each_sequence_reads_its_own_tokens_at_its_own_positions(seed, width):
    sequences = families(60, seed)
    rows, batch = rows_of(sequences, width)
    found = set()
    for row, trees in enumerate(rows):
        assert sum(tree.size for tree in trees) <= width
        start = 0
        for tree in trees:
            for number, slots in tree.slots.items():
                ids, at = sequences[number], start + slots
                np.testing.assert_array_equal(batch.tokens[row, at], ids[:-1])
                np.testing.assert_array_equal(batch.targets[row, at], ids[1:])
                np.testing.assert_array_equal(batch.positions[row, at], np.arange(len(at)))
                np.testing.assert_array_equal(seen_by(batch, row, at[-1]), at)
                found.add(number)
            start += tree.size
    assert found == set(range(60))


def test_padding_sees_only_padding():
    rows, batch = rows_of(arrays(*ANSWERS), 12)
    size = sum(tree.size for tree in rows[0])
    for slot in range(size, 12):
        assert seen_by(batch, 0, slot).tolist() == list(range(size, slot + 1))
    assert seen_by(batch, 1, 5).tolist() == list(range(6))


def test_a_beginning_of_little_use_is_not_shared():
    trees = grow_trees(arrays([1, 2, *range(10, 40)], [1, 2, *range(50, 80)]), 64)
    assert [tree.size for tree in trees] == [31, 31]


def test_equal_sequences_share_all_slots():
    (tree,) = grow_trees(arrays([1, 5, 6], [1, 5, 6]), 8)
    assert tree.size == 2
    assert [slots.tolist() for slots in tree.slots.values()] == [[0, 1], [0, 1]]


def test_a_tree_that_is_full_begins_again():
    trees = grow_trees(arrays(*([*range(1, 21), 30 + end, 3, 3] for end in range(6))), 30)
    assert [len(tree.slots) for tree in trees] == [3, 3]
    assert max(tree.size for tree in trees) <= 30
