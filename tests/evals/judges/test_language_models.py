"""What a language model says of texts, against a softmax over all its ids."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.evals.judges.judges import Judges
from spirit_jax.evals.judges.language_models import LanguageModel, load_language_model
from tests.generation.tiny import random_llama
from tests.generation.world import sentence, text_lm, tiny_lm, tokenizer
from tests.weights_folder import save_weights

PAIRS = [(sentence(number), sentence(number + 9)) for number in (1, 50, 700)]


def nats_by_definition(lm, before, text):
    """Word after word, with all ids that the model knows in the denominator."""
    tagged = [lm.vocabulary.bos, *([lm.vocabulary.text_tag] if lm.vocabulary.has_speech else [])]
    ids = tagged + tokenizer().encode(before)
    target = tokenizer().encode(f"{before} {text}")[len(ids) - len(tagged) :]
    whole = jnp.array([[*ids, *target]], jnp.int32)
    logits_TV = lm.llama(whole, jnp.arange(whole.shape[1], dtype=jnp.int32)[None])[0][0]
    log_TV = np.asarray(jax.nn.log_softmax(logits_TV, axis=-1))
    return -sum(log_TV[len(ids) + i - 1, token] for i, token in enumerate(target)), len(target)


@pytest.mark.parametrize("make", [text_lm, tiny_lm])
def test_nats_are_those_of_a_softmax_over_all_ids(make):
    nats, tokens = LanguageModel(make(), "").score_texts(PAIRS)
    for pair, found, length in zip(PAIRS, nats, tokens):
        expected, expected_length = nats_by_definition(make(), *pair)
        assert length == expected_length
        assert found == pytest.approx(expected, rel=1e-4)


def test_a_uniform_judge_gives_the_size_of_its_vocabulary():
    cfg = text_lm().llama.cfg
    uniform = dataclasses.replace(text_lm(), llama=random_llama(cfg, 0.0))
    nats, tokens = LanguageModel(uniform, "").score_texts(PAIRS)
    assert np.exp(nats / tokens) == pytest.approx(np.full(3, cfg.rows), rel=1e-4)


def test_a_text_without_tokens_has_none_and_the_others_keep_theirs():
    judge = LanguageModel(text_lm(), "")
    nats, tokens = judge.score_texts([PAIRS[0], ("the fox", ""), PAIRS[1]])
    assert (nats[1], tokens[1]) == (0, 0)
    assert nats[[0, 2]] == pytest.approx(judge.score_texts(PAIRS[:2])[0], rel=1e-5)
    assert [len(some) for some in judge.score_texts([("a", "")])] == [1, 1]


def test_it_is_loaded_from_a_weights_folder(tmp_path):
    tokenizer().save(tmp_path / "tokenizer")
    save_weights(tmp_path / "judge", text_lm().llama, text_lm().vocabulary, tmp_path / "tokenizer")
    judges = Judges(judge_lm=tmp_path / "judge")
    judges.load(["judge_lm"])
    assert judges.language_model.about.startswith("judge, ")
    stored, _ = judges.language_model.score_texts(PAIRS)
    assert stored == pytest.approx(LanguageModel(text_lm(), "").score_texts(PAIRS)[0], rel=1e-4)


def test_a_folder_that_is_none_and_an_option_that_is_missing_are_named(tmp_path):
    with pytest.raises(UserError, match="--judge-lm"):
        load_language_model(tmp_path / "nowhere")
    with pytest.raises(UserError):
        load_language_model(tmp_path)
    with pytest.raises(UserError, match="--judge-lm"):
        Judges().load(["judge_lm"])
