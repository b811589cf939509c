"""Weights by name: from a checkpoint, with weight normalisation applied; or random."""

import jax
import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.speech.weights.readers import PAIRS, CheckpointReader, RandomReader
from spirit_jax.speech.weights.torch_files import Tensors


@pytest.mark.parametrize(("length", "direction"), PAIRS)
def test_folding(length, direction):
    rng = np.random.default_rng(0)
    v, g = (
        rng.standard_normal((4, 3, 5)).astype(np.float32),
        rng.standard_normal((4, 1, 1)).astype(np.float32),
    )
    tensors = Tensors("here", {f"ups.0.{direction}": v, f"ups.0.{length}": g})
    weight = CheckpointReader(tensors).kernel("ups.0", (4, 3, 5))
    tensors.finish()
    np.testing.assert_allclose(np.linalg.norm(weight.reshape(4, -1), axis=1), np.abs(g[:, 0, 0]), rtol=1e-5)
    np.testing.assert_allclose(weight / v, np.broadcast_to((weight / v)[:, :1, :1], v.shape), rtol=1e-4)


def test_a_plain_weight_is_taken_as_it_is():
    weight = np.ones((4, 3, 5), np.float32)
    np.testing.assert_array_equal(
        CheckpointReader(Tensors("here", {"ups.0.weight": weight})).kernel("ups.0", (4, 3, 5)), weight
    )


def test_no_direction():
    arrays = {"a.weight_v": np.zeros((2, 3), np.float32), "a.weight_g": np.ones((2, 1), np.float32)}
    with pytest.raises(UserError, match=r"a\.weight_v"):
        CheckpointReader(Tensors("here", arrays)).kernel("a", (2, 3))


def test_drawn_weights_differ_by_name_order_and_repeat_by_key():
    def draw():
        reader = RandomReader(jax.random.key(3), kernel_scale=0.01)
        return (
            reader.kernel("a", (50, 50)),
            reader.kernel("b", (50, 50)),
            reader.array("c.bias", (3,)),
            reader.array("c.weight", (3,)),
        )

    a, b, bias, scale = draw()
    assert not np.array_equal(a, b)
    np.testing.assert_array_equal(a, draw()[0])
    np.testing.assert_allclose(np.std(a), 0.01, rtol=0.1)
    np.testing.assert_array_equal(bias, 0)
    np.testing.assert_array_equal(scale, 1)


def test_a_batch_norm_is_a_scale_and_a_shift():
    rng = np.random.default_rng(0)
    arrays = {f"norm.{part}": rng.normal(size=5) for part in ("weight", "bias", "running_mean")}
    arrays |= {"norm.running_var": rng.random(5), "norm.num_batches_tracked": np.array(3)}
    tensors = Tensors("here", arrays)
    scale, shift = CheckpointReader(tensors).batch_norm("norm", 5)
    tensors.finish()
    x = rng.normal(size=(7, 5))
    normed = (x - arrays["norm.running_mean"]) / np.sqrt(arrays["norm.running_var"] + 1e-5)
    np.testing.assert_allclose(
        x * scale + shift, normed * arrays["norm.weight"] + arrays["norm.bias"], rtol=1e-4, atol=1e-5
    )
    arrays["norm.running_var"][2] = -1
    with pytest.raises(UserError, match=r"norm\.running_var = -1\.0: has a variance below 0"):
        CheckpointReader(Tensors("here", arrays)).batch_norm("norm", 5)
    assert [array.tolist() for array in RandomReader(jax.random.key(0)).batch_norm("norm", 2)] == [
        [1, 1],
        [0, 0],
    ]
