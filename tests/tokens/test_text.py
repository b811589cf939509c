"""Text tokenizers: training, round trips, words, and typed token names that stay text."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spirit_jax.core.errors import UserError
from spirit_jax.tokens.text import TextTokenizer, train_tokenizer

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "while",
    "an",
    "old",
    "dog",
    "ran",
    "over",
    "hills",
    "don't",
    "naïve",
    "café,",
    "Hello!",
    "123",
    "4",
]
SENTENCES = [" ".join(np.random.default_rng(seed).choice(WORDS, 9)) for seed in range(300)]


@pytest.fixture(scope="module")
def sentencepiece_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "tokenizer.model"
    train_tokenizer(SENTENCES, 340, path)
    return path


@pytest.fixture(scope="module")
def hugging_face_folder(tmp_path_factory):
    """A byte-level BPE as Llama 3's."""
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    special = ["<|begin_of_text|>", "<|end_of_text|>"]
    tokenizer.train_from_iterator(
        SENTENCES,
        tokenizers.trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet),
    )
    folder = tmp_path_factory.mktemp("hugging_face")
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(params=["sentencepiece_file", "hugging_face_folder"])
def tokenizer(request):
    return TextTokenizer.load(request.getfixturevalue(request.param))


def test_training_is_deterministic_and_as_llamas(sentencepiece_file, tmp_path):
    again = train_tokenizer(iter(SENTENCES), 340, tmp_path / "again.model")
    assert (tmp_path / "again.model").read_bytes() == sentencepiece_file.read_bytes()
    assert (again.size, again.unk, again.bos, again.eos) == (340, 0, 1, 2)
    assert again.fingerprint == TextTokenizer.load(sentencepiece_file).fingerprint
    assert again.fingerprint != train_tokenizer(SENTENCES, 341, tmp_path / "other.model").fingerprint


@pytest.mark.parametrize("size", [100, 100_000])
def test_a_size_out_of_reach_is_refused(size, tmp_path):
    with pytest.raises(UserError, match="tokenizer size"):
        train_tokenizer(SENTENCES, size, tmp_path / "tokenizer.model")
    assert not list(tmp_path.iterdir())


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁\0"), max_size=30))
@settings(max_examples=100)
def test_any_text_survives(sentencepiece_file, text):
    tokenizer = TextTokenizer.load(sentencepiece_file)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_words_are_spelled_as_in_a_sentence(tokenizer):
    for sentence in SENTENCES[:50]:
        words = sentence.split()
        ids, offsets = tokenizer.encode_words(words)
        assert ids.dtype == offsets.dtype == np.int32
        assert ids.tolist() == tokenizer.encode(sentence)
        assert [tokenizer.decode(ids[a:b]).strip() for a, b in zip(offsets, offsets[1:])] == words


def test_no_words_give_no_ids(tokenizer):
    ids, offsets = tokenizer.encode_words([])
    assert (ids.tolist(), offsets.tolist()) == ([], [0])
    assert tokenizer.encode("") == []


@pytest.mark.parametrize(
    "name", ["[Hu3]", "[Text]", "[Speech]", "[St1][Pi2]", "<s>", "</s>", "<unk>", "<|end_of_text|>", "<0x0A>"]
)
def test_typed_token_names_stay_text(tokenizer, name):
    ids = tokenizer.encode(f"say {name} now")
    assert tokenizer.decode(ids) == f"say {name} now"
    assert not {tokenizer.bos, tokenizer.eos} & set(ids)
    assert max(ids) < tokenizer.size


def test_pieces_are_spelled_as_in_the_text(tokenizer):
    """Together they are the text, for texts of the alphabet that the tokenizer knows."""
    for text in ("the cat sat", "an old dog ran over hills", "Hello! 4"):
        spelled = [tokenizer.spell(id) for id in tokenizer.encode(text)]
        assert "".join(spelled).removeprefix(" ") == text
        assert all(spelled)
    assert tokenizer.spell(tokenizer.encode("sat on")[-1]).startswith(" ")
    assert tokenizer.spell(tokenizer.bos) in ("<s>", "<|begin_of_text|>")
    assert all("\ufffd" not in tokenizer.spell(id) for id in tokenizer.encode("日本"))


def test_bos_and_eos_are_left_out_of_text(tokenizer):
    assert tokenizer.decode([tokenizer.bos, *tokenizer.encode("the cat"), tokenizer.eos]) == "the cat"


def test_ids_beyond_text_are_refused(tokenizer):
    with pytest.raises(UserError, match="text id"):
        tokenizer.decode([tokenizer.size])


def test_a_saved_tokenizer_is_the_same(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "copy")
    copy = TextTokenizer.load(tmp_path / "copy")
    assert copy.fingerprint == tokenizer.fingerprint
    assert copy.encode(SENTENCES[0]) == tokenizer.encode(SENTENCES[0])


def test_bos_and_eos_are_named_by_the_file_beside(hugging_face_folder, tmp_path):
    plain = TextTokenizer.load(hugging_face_folder)
    plain.save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(
        '{"bos_token": {"content": "<|end_of_text|>"}, "eos_token": "<|begin_of_text|>"}'
    )
    swapped = TextTokenizer.load(tmp_path)
    assert (swapped.bos, swapped.eos) == (plain.eos, plain.bos)
    swapped.save(tmp_path / "copy")
    assert TextTokenizer.load(tmp_path / "copy").bos == plain.eos


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.model", b"junk"),
        ("tokenizer.json", b"{}"),
        ("tokenizer.json", b"junk"),
        ("other.txt", b""),
    ],
)
def test_what_is_no_tokenizer_is_refused(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError):
        TextTokenizer.load(tmp_path)
    with pytest.raises(UserError):
        TextTokenizer.load(tmp_path / "missing")


@pytest.mark.parametrize("space", [" ", ""])
def test_a_text_of_any_length_is_trained_on(tmp_path, space):
    parts = np.random.default_rng(0).permutation(["zig" + space, "zag" + space] * 3000)
    tokenizer = train_tokenizer(["".join(parts)], 270, tmp_path / "tokenizer.model")
    assert len(tokenizer.encode("zigzag")) < 6
