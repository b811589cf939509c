"""Texts keep their layout, with a tokenizer like Llama 2's and one like Llama 3's."""

import json

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from spirit_jax.tokens.interleave import Arrangement, Record, Spans, arrange, continuation
from spirit_jax.tokens.prompt_format import PromptFormat, Task
from spirit_jax.tokens.text import TextTokenizer, train_tokenizer
from spirit_jax.tokens.vocabulary import Modality
from tests.layouts import LAYOUTS
from tests.model_io.folders.tokenizer_folders import sentences, write_byte_level, write_sentencepiece
from tests.speech_codes import make_speech, make_vocabulary


@pytest.fixture(scope="module", params=[write_sentencepiece, write_byte_level], ids=["llama2", "llama3"])
def tokenizer(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp("tokenizer"))


@pytest.mark.parametrize("text", LAYOUTS.values(), ids=LAYOUTS)
def test_decoding_gives_the_text_back(tokenizer, text):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    (together,) = tokenizer.encode_texts([text])
    assert together.dtype == np.int32
    assert together.tolist() == ids


@given(
    text=st.text(
        st.sampled_from(" \n\t\r\u00a0") | st.characters(exclude_categories=["Cs"], exclude_characters="▁\0")
    )
)
@settings(max_examples=150)
def test_decoding_gives_any_text_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_texts_together_are_as_alone(tokenizer):
    texts = [*LAYOUTS.values(), *sentences(40)] * 3
    together = tokenizer.encode_texts(texts)
    assert [ids.tolist() for ids in together] == [tokenizer.encode(text) for text in texts]
    assert tokenizer.encode_texts([]) == []


def test_words_are_found_in_a_whole_text(tokenizer):
    for sentence in sentences(20):
        ids, offsets = tokenizer.encode_words(sentence.split())
        np.testing.assert_array_equal(tokenizer.find_words(ids), offsets)
    assert tokenizer.find_words(np.zeros(0, np.int32)).tolist() == [0]


def test_a_file_that_asks_for_truncation_and_padding_gets_neither(tmp_path):
    write_byte_level(tmp_path)
    path = tmp_path / "tokenizer.json"
    values = json.loads(path.read_text())
    values["truncation"] = {"max_length": 4, "stride": 0, "strategy": "LongestFirst", "direction": "Right"}
    values["padding"] = {
        "strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "!",
    }  # fmt: skip
    path.write_text(json.dumps(values))
    tokenizer, texts = TextTokenizer.load(tmp_path), ["the quick brown fox jumps over the lazy dogs", "a"]
    assert [tokenizer.decode(ids) for ids in tokenizer.encode_texts(texts)] == texts
    assert [tokenizer.decode(tokenizer.encode(text)) for text in texts] == texts


def test_a_tokenizer_that_drops_layout_says_what(tokenizer, tmp_path):
    assert tokenizer.lost_layout() == []
    with open(tmp_path / "tokenizer.model", "wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences()), model_writer=file, vocab_size=45, minloglevel=2
        )
    lost = TextTokenizer.load(tmp_path).lost_layout()
    assert {"line breaks", "tabs", "runs of spaces"} <= set(lost)


def test_a_tokenizer_is_trained_on_every_line(tmp_path):
    lines = sentences(300)
    apart = train_tokenizer(lines, 330, tmp_path / "apart.model")
    together = train_tokenizer(["\n".join(lines), "\n\n"], 330, tmp_path / "together.model")
    assert apart.fingerprint == together.fingerprint


SPEECH = make_speech(np.arange(24) % 20)


@pytest.mark.parametrize("prompt", ["{}", " {}"])
def test_a_text_after_speech_begins_as_in_training(tokenizer, prompt):
    """Llama 3's tokenizer writes the space before a word, Llama 2's adds it."""
    words = ["the", "quick", "brown", "fox", "jumps", "over"]
    ids, offsets = tokenizer.encode_words(words)
    times = np.arange(len(words), dtype=np.float32) * np.float32(4 / 25)
    record = Record("a", "s", "v", SPEECH, ids, offsets, times, times)
    vocabulary = make_vocabulary(tokenizer.size, 20, bos=tokenizer.bos, eos=tokenizer.eos)
    spoken, written = continuation(record, 3, Modality.SPEECH, Modality.TEXT, vocabulary)
    given = PromptFormat(vocabulary, tokenizer, "", "").encode(
        [spoken[2:], prompt.format("fox jumps over")], Task.CONTINUE, Modality.TEXT
    )
    np.testing.assert_array_equal(given, np.concatenate([spoken, written]))


@pytest.mark.parametrize("text", filter(None, LAYOUTS.values()), ids=filter(LAYOUTS.get, LAYOUTS))
def test_a_prompt_has_the_tokens_of_a_training_document(tokenizer, text):
    (ids,), none = tokenizer.encode_texts([text]), np.zeros(0, np.int32)
    record = Record("a", "s", "", None, ids, none, none, none)
    vocabulary = make_vocabulary(tokenizer.size, 20, bos=tokenizer.bos, eos=tokenizer.eos)
    (document,) = arrange(
        record, Arrangement.TEXT, vocabulary, Spans(), np.random.default_rng(0), append_eos=False
    )
    form = PromptFormat(vocabulary, tokenizer, "", "")
    np.testing.assert_array_equal(form.encode([text], Task.CONTINUE, Modality.TEXT), document)


def test_a_text_after_a_text_begins_a_word(tokenizer):
    form = PromptFormat(make_vocabulary(tokenizer.size, 20, bos=tokenizer.bos), tokenizer, "", "")
    joined = form.encode(["the quick brown fox"], Task.CONTINUE, Modality.TEXT)
    np.testing.assert_array_equal(
        form.encode(["the quick", "brown fox"], Task.CONTINUE, Modality.TEXT), joined
    )


def test_a_line_break_after_speech_stays_the_first(tokenizer):
    form = PromptFormat(make_vocabulary(tokenizer.size, 20, bos=tokenizer.bos), tokenizer, "", "")
    ids = form.encode([SPEECH, "\nfox"], Task.CONTINUE, Modality.TEXT)
    assert tokenizer.decode(ids[ids < tokenizer.size]) == "\nfox"
