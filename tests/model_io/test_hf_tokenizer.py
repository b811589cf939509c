import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tokenizers

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_optional_json
from spirit_jax.model_io.hf_tokenizer import tokenizer_files, warn_of_export
from spirit_jax.model_io.vocabulary_plan import read_tokenizer
from spirit_jax.tokens import sentencepiece_file
from spirit_jax.tokens.strings import render
from spirit_jax.tokens.text import TextTokenizer
from tests.model_io.folders.tokenizer_folders import (
    BEGIN,
    END,
    WORDS,
    write_byte_level,
    write_open_llama,
    write_sentencepiece,
    write_twin,
    write_unigram,
)
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
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("out")
    tokenizer = write_byte_level(source)
    vocabulary = make_vocabulary(tokenizer.size, 20, 5, 4, tokenizer.bos, tokenizer.eos, tokenizer.unk)
    write_tokenizer(source, out, vocabulary)
    return source, out, tokenizer, vocabulary


@pytest.mark.parametrize("kind", ["folders", "byte_level"])
def test_text_and_rendered_speech_get_our_ids(kind, request):
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
    assert model.byte_fallback
    assert not model.obstacles


def test_a_model_with_pieces_of_a_user_is_refused(folders, tmp_path):
    content = (folders[0] / "tokenizer.model").read_bytes()
    (tmp_path / "tokenizer.model").write_bytes(content + _piece("<tool>"))
    with pytest.raises(UserError, match="has user-defined pieces"):
        tokenizer_files(tmp_path, make_vocabulary(341, 3), 512)


KINDS = {"open llama": write_open_llama, "unigram": write_unigram}
each_kind = pytest.mark.parametrize("kind", KINDS)


@each_kind
def test_the_fix_for_a_model_that_is_not_converted_works_as_said(kind, tmp_path, capsys):
    tokenizer = KINDS[kind](tmp_path / "source")
    vocabulary = make_vocabulary(tokenizer.size, 3)
    with pytest.raises(UserError, match="an export needs the tokenizer.json of the same model") as caught:
        tokenizer_files(tmp_path / "source", vocabulary, 512)
    assert caught.value.fix == f"put it into {tmp_path / 'source'}"
    write_twin(tmp_path / "source", tmp_path / "source")
    (tmp_path / "out").mkdir()
    write_tokenizer(tmp_path / "source", tmp_path / "out", vocabulary)
    peer = tokenizers.Tokenizer.from_file(str(tmp_path / "out/tokenizer.json"))
    assert peer.encode("the brown fox", add_special_tokens=False).ids == tokenizer.encode("the brown fox")
    assert peer.token_to_id("[Hu2]") == vocabulary.size - 1
    said = capsys.readouterr().err
    assert ("gives other ids" in said and "two  spaces" in said) == (kind == "open llama")


@each_kind
@pytest.mark.parametrize("change", ["another piece", "one more"])
def test_a_tokenizer_json_of_another_model_is_refused(kind, change, tmp_path):
    size = KINDS[kind](tmp_path).size
    write_twin(tmp_path, tmp_path)
    values = json.loads((tmp_path / "tokenizer.json").read_text())
    entries, vocabulary = values["model"]["vocab"], make_vocabulary(size, 3)
    if change == "one more":
        entries.append(["more", 0.0]) if isinstance(entries, list) else entries.update(more=size)
    elif isinstance(entries, list):
        entries[40][0] = "other"
    else:
        (old,) = [text for text, id in entries.items() if id == 40]
        entries["other"] = entries.pop(old)
    (tmp_path / "tokenizer.json").write_text(json.dumps(values))
    wrong = size if change == "one more" else 40
    with pytest.raises(UserError, match=f"tokenizer.json token {wrong} = .*of the same model"):
        tokenizer_files(tmp_path, vocabulary, 512)


@each_kind
def test_an_export_that_will_need_a_file_is_announced(kind, tmp_path, capsys):
    warn_of_export(KINDS[kind](tmp_path / "source"), tmp_path / "run")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: tokenizer.model ")
    says = "an export will need the tokenizer.json of the same model"
    assert line.endswith(f"{says}; put it into {tmp_path / 'run'}")
    write_twin(tmp_path / "source", tmp_path / "source")
    warn_of_export(TextTokenizer.load(tmp_path / "source"), tmp_path / "run")
    assert capsys.readouterr().err == ""


def test_tokenizers_that_are_exported_are_not_warned_of(folders, byte_level, capsys):
    for _, _, tokenizer, _ in (folders, byte_level):
        warn_of_export(tokenizer, Path("run"))
    assert capsys.readouterr().err == ""


@each_kind
def test_tokenizer_json_stays_with_the_model_that_needs_it(kind, tmp_path):
    fingerprint = KINDS[kind](tmp_path / "source").fingerprint
    write_twin(tmp_path / "source", tmp_path / "source")
    found = read_tokenizer(tmp_path / "source").tokenizer
    assert found.fingerprint == fingerprint
    found.save(tmp_path / "weights")
    TextTokenizer.load(tmp_path / "weights").save(tmp_path / "run")
    for name in ("tokenizer.json", "tokenizer.model"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "source" / name).read_bytes()


@pytest.mark.parametrize("kind", ["folders", "byte_level"])
def test_a_reader_of_the_added_tokens_finds_every_name(kind, request):
    """llama.cpp's converter reads the pieces of tokenizer.model, then added_tokens.json, then the
    added_tokens_decoder of tokenizer_config.json, and no tokenizer.json.
    """
    _, out, tokenizer, vocabulary = request.getfixturevalue(kind)
    names = [f"[PAD{id}]" for id in range(vocabulary.rows())]
    if (out / "tokenizer.model").is_file():
        pieces = sentencepiece_file.read((out / "tokenizer.model").read_bytes()).pieces
        names[: len(pieces)] = [piece.text for piece in pieces]
    for name, id in read_optional_json(out / "added_tokens.json").items():
        names[id] = name
    decoder = json.loads((out / "tokenizer_config.json").read_text())["added_tokens_decoder"]
    for id, token in decoder.items():
        names[int(id)] = token["content"]
    assert names[tokenizer.size : vocabulary.size] == vocabulary.added_tokens()
    assert [names[vocabulary.bos], names[vocabulary.eos]] == special(out)[:2]
    flags = {"content", "single_word", "lstrip", "rstrip", "normalized", "special"}
    assert all(token.keys() == flags for token in decoder.values())
    assert {decoder[str(id)]["special"] for id in range(tokenizer.size, vocabulary.size)} == {False}


def test_what_a_caller_asked_for_is_not_part_of_a_tokenizer(byte_level, tmp_path):
    source, _, tokenizer, vocabulary = byte_level
    shutil.copytree(source, tmp_path / "source")
    saved = tokenizers.Tokenizer.from_file(str(source / "tokenizer.json"))
    saved.enable_truncation(4)
    saved.enable_padding(length=4)
    saved.save(str(tmp_path / "source/tokenizer.json"))
    text = "the quick brown fox jumps over lazy dogs on early Sundays"
    cut = TextTokenizer.load(tmp_path / "source")
    assert cut.encode(text) == tokenizer.encode(text)
    assert cut.encode("a") == tokenizer.encode("a")
    assert cut.fingerprint == tokenizer.fingerprint
    (tmp_path / "out").mkdir()
    write_tokenizer(tmp_path / "source", tmp_path / "out", vocabulary)
    values = json.loads((tmp_path / "out/tokenizer.json").read_text())
    assert (values["truncation"], values["padding"]) == (None, None)
