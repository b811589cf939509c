import dataclasses

import jax
import numpy as np
import pytest

from spirit_jax.model.array_store import named_arrays
from spirit_jax.model.llama import Llama
from spirit_jax.model_io.names import (
    TABLE,
    halves_from_pairs,
    is_ignored,
    model_tensors,
    our_shape,
    their_shape,
    to_ours,
    to_theirs,
)
from tests.model.tiny import CONFIG


@pytest.mark.parametrize("tied", [False, True])
def test_the_table_names_every_parameter_with_its_shape(tied):
    cfg = dataclasses.replace(CONFIG, tied=tied)
    leaves = named_arrays(jax.eval_shape(lambda: Llama(cfg, jax.random.key(0))))
    ours = {
        name.ours: ((cfg.layers,) if name.layered else ()) + our_shape(name, cfg)
        for name, _ in model_tensors(cfg)
    }
    assert ours == {path: leaf.shape for path, leaf in leaves.items()}


def test_names_are_one_to_one():
    for column in ("ours", "hugging_face", "meta"):
        assert len({getattr(name, column) for name in TABLE}) == len(TABLE)


@pytest.mark.parametrize("name", TABLE, ids=lambda name: name.ours)
def test_there_and_back_is_the_identity(name):
    theirs = np.random.default_rng(0).standard_normal(their_shape(name, CONFIG)).astype(np.float32)
    ours = to_ours(name, theirs, CONFIG)
    assert ours.shape == our_shape(name, CONFIG)
    np.testing.assert_array_equal(to_theirs(name, ours, CONFIG), theirs)


def test_pairs_become_halves_head_by_head():
    pairs = np.arange(2 * 6, dtype=np.float32)[:, None]
    np.testing.assert_array_equal(halves_from_pairs(pairs, 6)[:, 0], [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11])


def test_recomputed_tensors_are_named_as_ignored_and_others_are_not():
    assert is_ignored("model.layers.11.self_attn.rotary_emb.inv_freq")
    assert is_ignored("rope.freqs")
    assert not is_ignored("model.layers.0.self_attn.q_proj.bias")
