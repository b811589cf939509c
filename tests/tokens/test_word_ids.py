"""Ids of texts from those of their words: the same as the package's, or not at all."""

import io

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from spirit_jax.tokens import word_ids
from spirit_jax.tokens.text import TextTokenizer, train_tokenizer
from spirit_jax.tokens.word_ids import WordIds, divides_at_spaces

SENTENCES = [
    " ".join(np.random.default_rng(seed).choice(["naïve", "cat", "12", "on", "Don't", "the\ncat,"], 9))
    for seed in range(300)
]
LETTERS = st.text(st.sampled_from("abcdeothenï 12\n\t▁.'漢😀\u00a0\x00"), max_size=60)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return train_tokenizer(SENTENCES, 300, tmp_path_factory.mktemp("words") / "tokenizer.model")


def train(**settings) -> bytes:
    """A model that differs from ours in some settings."""
    model = io.BytesIO()
    usual = {"model_type": "bpe", "normalization_rule_name": "identity", "remove_extra_whitespaces": False}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES),
        model_writer=model,
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
        **(usual | settings),
    )
    return model.getvalue()


@settings(deadline=None, max_examples=300)
@given(texts=st.lists(LETTERS, max_size=5))
def test_a_batch_equals_one_at_a_time(tokenizer, texts):
    assert divides_at_spaces(*tokenizer._backend.identity)
    found = tokenizer.encode_texts(texts, threads=1)
    assert [ids.tolist() for ids in found] == [tokenizer.encode(text) for text in texts]
    assert all(ids.dtype == np.int32 for ids in found)


@pytest.mark.parametrize(
    ("text", "known"),
    [("the cat", True), ("cat", True), ("", False), ("the  cat", False), (" cat", False), ("a▁ b", False)],
)
def test_only_words_with_single_spaces_are_looked_up(tokenizer, text, known):
    assert (WordIds(tokenizer.encode).encode_text(text) is not None) == known


@pytest.mark.parametrize(
    "changed",
    [
        {"model_type": "unigram"},
        {"normalization_rule_name": "nmt_nfkc"},
        {"remove_extra_whitespaces": True},
        {"add_dummy_prefix": False},
        {"split_by_whitespace": False},
        {"treat_whitespace_as_suffix": True},
        {"user_defined_symbols": ["t c"]},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_models_that_do_not_divide_at_spaces(changed, tmp_path):
    assert divides_at_spaces(train())
    content = train(**changed)
    assert not divides_at_spaces(content)
    (tmp_path / "tokenizer.model").write_bytes(content)
    tokenizer = TextTokenizer.load(tmp_path)
    found = tokenizer.encode_texts(SENTENCES[:9])
    assert [ids.tolist() for ids in found] == [tokenizer.encode(text) for text in SENTENCES[:9]]


def test_what_is_kept_is_bounded(tokenizer, monkeypatch):
    monkeypatch.setattr(word_ids, "MOST_WORDS", 2)
    words = WordIds(tokenizer.encode)
    for text in ("a b c d", "x" * 100, "a d c b"):
        assert words.encode_text(text).tolist() == tokenizer.encode(text)
    assert len(words) == 2
