import numpy as np
import pytest

from spirit_jax.training.data.packing import Bins, make_batch


def pack(sizes, length: int, bins: int = 8) -> list:
    packer = Bins(length, bins)
    rows = [packer.add((name, np.arange(size + 1))) for name, size in enumerate(sizes)]
    return [row for row in rows if row is not None] + [row for row in packer.rows if row]


@pytest.mark.parametrize("seed", range(3))
def test_every_piece_once_and_no_row_too_long(seed):
    sizes = np.random.default_rng(seed).integers(1, 65, 500)
    rows = pack(sizes, 64)
    assert sorted(name for row in rows for name, _ in row) == list(range(500))
    assert max(sum(len(ids) - 1 for _, ids in row) for row in rows) <= 64


def test_rows_are_nearly_full():
    sizes = np.clip(np.random.default_rng(0).normal(80, 20, 5000), 10, 256).astype(int)
    rows = pack(sizes, 256, 32)
    assert sum(sizes) / (len(rows) * 256) > 0.95


def test_a_restored_bin_takes_as_much_as_before():
    bins, restored = Bins(10, 2), Bins(10, 2)
    for name, size in enumerate((6, 7, 3)):
        bins.add((name, np.arange(size + 1)))
    for bin, row in enumerate(bins.rows):
        restored.put(bin, row)
    for piece in (("a", np.arange(3)), ("b", np.arange(3)), ("c", np.arange(10)), ("d", np.arange(9))):
        expected, got = bins.add(piece), restored.add(piece)
        assert (got and [name for name, _ in got]) == (expected and [name for name, _ in expected])


def test_a_batch_is_padded_to_its_size():
    batch = make_batch(
        [[((0, 9, 0), np.array([1, 2, 3])), ((2, 9, 0), np.array([4, 5]))], [((1, 9, 0), np.array([6, 7]))]],
        3,
        5,
    )
    np.testing.assert_array_equal(batch.tokens, [[1, 2, 4, 0, 0], [6, 0, 0, 0, 0], [0] * 5])
    np.testing.assert_array_equal(batch.targets, [[2, 3, 5, 0, 0], [7, 0, 0, 0, 0], [0] * 5])
    np.testing.assert_array_equal(batch.segment_ids, [[1, 1, 2, 0, 0], [1, 0, 0, 0, 0], [0] * 5])
    np.testing.assert_array_equal(batch.positions, [[0, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0] * 5])
    np.testing.assert_array_equal(batch.loss_weights, batch.segment_ids > 0)
    np.testing.assert_array_equal(batch.source_ids, [[0, 0, 2, 0, 0], [1, 0, 0, 0, 0], [0] * 5])
