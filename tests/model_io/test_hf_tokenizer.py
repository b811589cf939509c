import json

import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.model_io import sentencepiece_file
from spirit_jax.model_io.hf_tokenizer import tokenizer_files
from spirit_jax.model_io.vocabulary_plan import read_tokenizer
from spirit_jax.tokens.strings import render
from spirit_jax.tokens.text import TextTokenizer
from tests.model_io.tokenizer_folders import BEGIN, END, WORDS, write_byte_level, write_sentencepiece
from tests.prompt_strings import parse_prompt
from tests.speech_codes import make_speech, make_vocabulary

TEXTS = [
    "the cat sat",
    " two  spaces ",
    "naïve café 2027",
    "日本 tokens\nand lines",
    "a",
    "",
    "brown foxes jump, overly",
    "[Hu",
    "quickly▁the",
]


def write_tokenizer(source, out, vocabulary):
    for name, content in tokenizer_files(source, vocabulary, 512).items():
        (out / name).write_bytes(content)


def special(folder) -> list[str]:
    config = json.loads((folder / "tokenizer_config.json").read_text())
    return [config.get(f"{role}_token") for role in ("bos", "eos", "unk")]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A text tokenizer's folder, and its Hugging Face export with speech tokens."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("out")
    tokenizer = write_sentencepiece(source)
    vocabulary = make_vocabulary(tokenizer.size, 20, 5, 4)
    write_tokenizer(source, out, vocabulary)
    return source, out, tokenizer, vocabulary


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory):
    """The same with a byte-level tokenizer."""
    pytest.importorskip("tokenizers")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("out")
    tokenizer = write_byte_level(source)
    vocabulary = make_vocabulary(tokenizer.size, 20, 5, 4, tokenizer.bos, tokenizer.eos, tokenizer.unk)
    write_tokenizer(source, out, vocabulary)
    return source, out, tokenizer, vocabulary


@pytest.mark.parametrize("kind", ["folders", "byte_level"])
def test_text_and_rendered_speech_get_our_ids(kind, request):
    tokenizers = pytest.importorskip("tokenizers")
    _, out, tokenizer, vocabulary = request.getfixturevalue(kind)
    peer = tokenizers.Tokenizer.from_file(str(out / "tokenizer.json"))
    rng = np.random.default_rng(1)
    speech = render(
        make_speech(rng.integers(0, 20, 60), rng.integers(0, 5, 30), rng.integers(0, 4, 3)),
        vocabulary.streams,
    )
    for text in TEXTS + [" ".join(rng.choice(WORDS, 12)) for _ in range(50)]:
        assert peer.encode(text, add_special_tokens=False).ids == tokenizer.encode(text)
        prompt = f"[Text]{text}[Speech]{speech}[Text]{text}"
        assert (
            peer.encode(prompt, add_special_tokens=False).ids
            == parse_prompt(prompt, vocabulary, tokenizer.encode).tolist()
        )
    assert peer.encode("a").ids[0] == vocabulary.bos
    assert [peer.token_to_id(piece) for piece in vocabulary.added_tokens()] == list(
        range(vocabulary.text_size, vocabulary.size)
    )
    assert peer.decode(tokenizer.encode("the quick café")) == "the quick café"


def test_special_tokens_are_named(folders, byte_level, tmp_path):
    assert special(folders[1]) == ["<s>", "</s>", "<unk>"]
    assert special(byte_level[1]) == [BEGIN, END, None]
    (tmp_path / "tokenizer.json").write_bytes((byte_level[0] / "tokenizer.json").read_bytes())
    (tmp_path / "out").mkdir()
    write_tokenizer(tmp_path, tmp_path / "out", byte_level[3])
    assert special(tmp_path / "out") == [BEGIN, END, None], "also where the source's configuration is missing"


def test_what_comes_back_has_the_fingerprint_of_what_went_out(folders, byte_level):
    """Shards made with the one are read with the other."""
    for _, out, tokenizer, vocabulary in (folders, byte_level):
        found = read_tokenizer(out)
        assert found.tokenizer.fingerprint == tokenizer.fingerprint
        assert found.speech_tokens == tuple(vocabulary.added_tokens())


def test_the_way_back_finds_the_text_tokenizer_and_the_speech_tokens(folders, tmp_path):
    pytest.importorskip("tokenizers")
    _, out, tokenizer, vocabulary = folders
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((out / name).read_bytes())
    found = read_tokenizer(tmp_path)
    again = found.tokenizer
    assert (again.size, again.bos, again.eos) == (tokenizer.size, tokenizer.bos, tokenizer.eos)
    assert found.speech_tokens == tuple(vocabulary.added_tokens())
    again.save(tmp_path / "text")
    (tmp_path / "second").mkdir()
    write_tokenizer(tmp_path / "text", tmp_path / "second", vocabulary)
    first, second = (
        json.loads((folder / "tokenizer.json").read_text()) for folder in (out, tmp_path / "second")
    )
    assert first == second


def test_speech_pieces_inside_a_sentencepiece_model_are_taken_out(folders, tmp_path):
    source, _, tokenizer, vocabulary = folders
    content = (source / "tokenizer.model").read_bytes()
    grown = content + b"".join(_piece(piece) for piece in vocabulary.added_tokens())
    (tmp_path / "tokenizer.model").write_bytes(grown)
    assert TextTokenizer.load(tmp_path).size == vocabulary.size
    found = read_tokenizer(tmp_path)
    assert (found.tokenizer.size, found.speech_tokens) == (tokenizer.size, tuple(vocabulary.added_tokens()))
    assert found.tokenizer.encode("the [Hu3] fox") == tokenizer.encode("the [Hu3] fox")


def _piece(text: str) -> bytes:
    """A user-defined piece in the wire format."""
    inner = b"\x0a" + bytes([len(text)]) + text.encode() + b"\x18\x04"
    return b"\x0a" + bytes([len(inner)]) + inner


def test_a_model_file_is_read_as_sentencepiece_reads_it(folders):
    source, _, tokenizer, _ = folders
    model = sentencepiece_file.read((source / "tokenizer.model").read_bytes())
    assert len(model.pieces) == tokenizer.size
    assert [piece.text for piece in model.pieces[:4]] == ["<unk>", "<s>", "</s>", "<0x00>"]
    assert model.is_bpe
    assert model.byte_fallback
    assert model.plain


def test_a_model_with_pieces_of_a_user_is_refused(folders, tmp_path):
    content = (folders[0] / "tokenizer.model").read_bytes()
    (tmp_path / "tokenizer.model").write_bytes(content + _piece("<tool>"))
    with pytest.raises(UserError, match="without user-defined pieces"):
        tokenizer_files(tmp_path, make_vocabulary(341, 3), 512)


def test_a_model_that_normalises_is_refused(folders, tmp_path):
    import sentencepiece

    other = tmp_path / "tokenizer.model"
    settings = {"vocab_size": 60, "hard_vocab_limit": False, "model_type": "unigram", "minloglevel": 2}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(WORDS * 20), model_prefix=str(tmp_path / "tokenizer"), **settings
    )
    assert other.is_file()
    with pytest.raises(UserError, match="only BPE models without normalisation"):
        tokenizer_files(tmp_path, make_vocabulary(30, 3), 512)
