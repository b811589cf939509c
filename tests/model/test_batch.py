import numpy as np

from spirit_jax.model.batch import make_batch

ROWS = [[np.array([1, 2, 3]), np.array([4, 5])], [np.array([6, 7])]]


def test_a_batch_is_padded_to_its_size():
    batch = make_batch(ROWS, 3, 5, [[0, 2], [1]])
    np.testing.assert_array_equal(batch.tokens, [[1, 2, 4, 0, 0], [6, 0, 0, 0, 0], [0] * 5])
    np.testing.assert_array_equal(batch.targets, [[2, 3, 5, 0, 0], [7, 0, 0, 0, 0], [0] * 5])
    np.testing.assert_array_equal(batch.segment_ids, [[1, 1, 2, 0, 0], [1, 0, 0, 0, 0], [0] * 5])
    np.testing.assert_array_equal(batch.positions, [[0, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0] * 5])
    np.testing.assert_array_equal(batch.loss_weights, batch.segment_ids > 0)
    np.testing.assert_array_equal(batch.source_ids, [[0, 0, 2, 0, 0], [1, 0, 0, 0, 0], [0] * 5])


def test_sources_are_left_out_unless_given():
    assert make_batch(ROWS, 3, 5).source_ids is None


def test_given_ids_are_no_targets():
    batch = make_batch(ROWS, 2, 5, given=[[2, 1], [1]])
    np.testing.assert_array_equal(batch.loss_weights, [[0, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
    np.testing.assert_array_equal(batch.segment_ids > 0, [[1, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
