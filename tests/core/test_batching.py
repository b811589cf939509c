"""Blocks, buckets and packing."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spirit_jax.core.batching import (
    OpenRows,
    buckets,
    count_rows,
    lengths_of,
    map_blocks,
    pack,
    round_up_doubling,
    stack,
)


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=20))
def test_every_sequence_once_in_a_row_it_fits(lengths):
    made = list(buckets(lengths, shortest=32))
    assert sorted(i for call in made for i in call.indices) == list(range(len(lengths)))
    for size, rows, indices in made:
        assert 1 <= len(indices) <= rows
        assert all(lengths[i] <= size for i in indices)
        assert all(size == 32 or lengths[i] > size * 2 // 3 for i in indices), "padded by no more than half"


def test_few_shapes():
    assert len({size for size, _, _ in buckets(range(1, 1025), 32)}) == 11


def test_stack_fills_with_zeros():
    stacked = stack([np.ones((2, 3), np.float32)], 4, 5)
    assert stacked.shape == (5, 4, 3)
    assert stacked.sum() == 6
    np.testing.assert_array_equal(stack([np.array(7, np.int32)], 4, 2), [7, 0])
    np.testing.assert_array_equal(lengths_of([np.ones(5)], 2), [5, 0])


def test_rows_on_an_accelerator_get_fewer_with_their_length(monkeypatch):
    assert count_rows(100, 5) == 1
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert [count_rows(size, 5) for size in (5, 20, 25, 50, 84, 10_000)] == [16, 16, 8, 4, 2, 1]
    assert [
        (call.rows, len(call.indices)) for call in buckets([3] * 17 + [50], 5, lambda length: length)
    ] == [
        (16, 16),
        (16, 1),
        (4, 1),
    ]


@given(st.integers(0, 20), st.integers(1, 6))
def test_blocks_cover_every_row(count, block):
    parts, seen = [np.full((length, 2), length) for length in (count, 0, 3)], []

    def kernel(block_ND):
        seen.append(len(block_ND))
        return block_ND.sum(axis=1)

    for part, out in zip(parts, map_blocks(kernel, parts, block), strict=True):
        assert np.array_equal(out, part.sum(axis=1))
    assert set(seen) == {block}


def test_rounding_by_doubling():
    lengths = {0: 32, 1: 32, 32: 32, 33: 64, 64: 64, 65: 128, 1000: 1024}
    assert {length: round_up_doubling(length, 32) for length in lengths} == lengths


def fill(sizes, length: int, count: int = 8) -> list:
    packer = OpenRows(length, count)
    rows = [packer.add((name, np.arange(size + 1))) for name, size in enumerate(sizes)]
    return [row for row in rows if row is not None] + [row for row in packer.rows if row]


def pack_sizes(sizes, length: int) -> list:
    return pack([(name, np.arange(size + 1)) for name, size in enumerate(sizes)], length)


@pytest.mark.parametrize("make", [fill, pack_sizes])
@pytest.mark.parametrize("seed", range(3))
def test_every_chunk_once_and_no_row_too_long(make, seed):
    sizes = np.random.default_rng(seed).integers(1, 65, 500)
    rows = make(sizes, 64)
    assert sorted(name for row in rows for name, _ in row) == list(range(500))
    assert max(sum(len(ids) - 1 for _, ids in row) for row in rows) <= 64


def test_rows_are_nearly_full():
    sizes = np.clip(np.random.default_rng(0).normal(80, 20, 5000), 10, 256).astype(int)
    assert sum(sizes) / (len(fill(sizes, 256, 32)) * 256) > 0.95
    sizes = np.random.default_rng(0).integers(1, 200, 300)
    assert sum(sizes) / (len(pack_sizes(sizes, 256)) * 256) > 0.95


def test_nothing_packs_into_nothing():
    assert pack([], 64) == []


def test_a_restored_row_takes_as_much_as_before():
    packer, restored = OpenRows(10, 2), OpenRows(10, 2)
    for name, size in enumerate((6, 7, 3)):
        packer.add((name, np.arange(size + 1)))
    for number, row in enumerate(packer.rows):
        restored.restore(number, row)
    for chunk in (("a", np.arange(3)), ("b", np.arange(3)), ("c", np.arange(10)), ("d", np.arange(9))):
        expected, got = packer.add(chunk), restored.add(chunk)
        assert (got and [name for name, _ in got]) == (expected and [name for name, _ in expected])
