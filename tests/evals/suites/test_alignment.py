"""The alignment probe, against models whose features are known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.results import to_json
from spirit_jax.evals.suites.alignment import AlignmentProbe
from spirit_jax.evals.task import measure
from tests.generation.world import record, records, text_lm, tiny_lm


def probe(lm, some):
    return measure(AlignmentProbe(), Evaluation(lm, some))


def with_embedding(table):
    """The tiny model with this embedding [V, D]; its layers add nothing."""
    lm = tiny_lm()
    llama = jax.tree.map(jnp.zeros_like, lm.llama)
    llama.embed_VD = llama.embed_VD.replace(jnp.asarray(table, jnp.float32))
    return dataclasses.replace(lm, llama=llama)


def test_the_states_after_the_last_layer_are_those_that_the_norm_sees():
    llama = tiny_lm().llama
    tokens = np.array([[1, 5, 9, 4]], np.int32)
    states = llama.layer_states(tokens)
    assert states.shape[:3] == (llama.cfg.layers + 1, 1, 4)
    positions = jnp.arange(4, dtype=jnp.int32)[None]
    np.testing.assert_allclose(llama.norm(states[-1]), llama.hidden(tokens, positions)[0], rtol=1e-5)
    np.testing.assert_array_equal(states[0], llama.embed_VD[...][tokens])


def test_a_word_with_the_features_of_its_own_speech_is_found():
    """Word i and its first unit point along axis i; words share few pieces and units."""
    one = record(3)
    table = np.zeros(tiny_lm().llama.embed_VD.shape)
    units = one.speech.units.reshape(-1, 4)
    for word, (begin, end) in enumerate(zip(one.word_offsets[:-1], one.word_offsets[1:])):
        axis = dict(zip(map(tuple, units.tolist()), range(99)))[tuple(units[word])]
        table[one.text_ids[begin:end], axis] = 1
    start = tiny_lm().vocabulary.speech_start
    for axis, four in enumerate(units):
        table[start + four[:1], axis] = 1
    result = probe(with_embedding(table), [one])
    assert result.value > 0.6
    assert result.details["same"][0] > result.details["other"][0] + 0.3
    assert len(result.details["same"]) == tiny_lm().llama.cfg.layers + 1


def test_random_features_are_as_like_to_another_word():
    table = np.random.default_rng(0).normal(size=tiny_lm().llama.embed_VD.shape)
    result = probe(with_embedding(table), records(12))
    assert result.details["same"][0] == pytest.approx(result.details["other"][0], abs=0.05)


def test_cosines_are_within_one_and_repeat():
    once, again = (to_json(probe(tiny_lm(), records(4))) for _ in range(2))
    assert once == again
    assert all(-1.0001 <= cosine <= 1.0001 for cosine in (*once["same"], *once["other"]))
    assert once["n"] == 4


def test_the_means_of_records_are_those_of_all_by_their_words():
    result = probe(tiny_lm(), records(4))
    words = np.array([row["words"] for row in result.rows])
    assert words.sum() == result.details["words"]
    for name in ("same", "other"):
        means_NL = np.array([row[name] for row in result.rows])
        np.testing.assert_allclose(words @ means_NL / words.sum(), result.details[name])


def test_records_without_word_times_and_models_without_speech_have_no_probe():
    assert probe(tiny_lm(), [record(1, aligned=False)]).value is None
    assert "text-only" in probe(text_lm(), records(2)).details["not_measured"]
