"""Padding to few shapes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spirit_jax.speech.rows import calls, lengths_of, row_count, stack


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=20))
def test_every_sequence_once_in_a_row_it_fits(lengths):
    made = list(calls(lengths, shortest=32))
    assert sorted(i for _, indices in made for i in indices) == list(range(len(lengths)))
    for size, indices in made:
        assert 1 <= len(indices) <= row_count()
        assert all(lengths[i] <= size for i in indices)
        assert all(size == 32 or lengths[i] > size * 2 // 3 for i in indices), "padded by no more than half"


def test_few_shapes():
    assert len({size for size, _ in calls(range(1, 1025), 32)}) == 11


def test_stack_fills_with_zeros():
    stacked = stack([np.ones((2, 3), np.float32)], 4)
    assert stacked.shape == (row_count(), 4, 3)
    assert stacked.sum() == 6
    np.testing.assert_array_equal(stack([np.array(7, np.int32)], 4)[:1], [7])
    np.testing.assert_array_equal(lengths_of([np.ones(5)])[:1], [5])
