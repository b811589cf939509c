import dataclasses
import json
import shutil

import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import write_json
from spirit_jax.model_io.hf_tokenizer import from_sentencepiece
from spirit_jax.model_io.vocabulary_plan import MAX_SURPLUS, VocabularyRequest, plan_vocabulary
from spirit_jax.tokens import sentencepiece_file
from spirit_jax.tokens.text import TextTokenizer
from spirit_jax.tokens.vocabulary import Vocabulary
from tests.model.tiny import CONFIG
from tests.model_io.folders.tokenizer_folders import add_to_json, write_byte_level, write_sentencepiece
from tests.speech_codes import make_streams, make_vocabulary


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Two folders to copy: a SentencePiece model, and a byte-level BPE as Llama 3's."""
    pytest.importorskip("tokenizers")
    root = tmp_path_factory.mktemp("texts")
    write_sentencepiece(root / "two")
    write_byte_level(root / "three")
    return root


@pytest.fixture(params=["two", "three"])
def folder(request, texts, tmp_path):
    return shutil.copytree(texts / request.param, tmp_path / "llama")


@pytest.fixture
def two(texts, tmp_path):
    return shutil.copytree(texts / "two", tmp_path / "llama")


def rows(count: int):
    return dataclasses.replace(CONFIG, rows=count)


def text_of(folder) -> dict:
    tokenizer = TextTokenizer.load(folder)
    return {"text_size": tokenizer.size, "bos": tokenizer.bos, "eos": tokenizer.eos, "unk": tokenizer.unk}


@pytest.mark.parametrize("padding", [0, 24, MAX_SURPLUS])
def test_speech_ids_follow_the_text_ids_in_place_of_padding(folder, padding):
    text = text_of(folder)
    decided = plan_vocabulary(
        folder, rows(text["text_size"] + padding), VocabularyRequest(make_streams(10, 4, 3))
    )
    assert decided.vocabulary == make_vocabulary(units=10, pitches=4, styles=3, **text)
    assert (decided.rows % 128, decided.keep) == (0, False)
    assert plan_vocabulary(folder, rows(text["text_size"] + padding)).vocabulary == make_vocabulary(**text), (
        "the paper's Base where nothing is asked for"
    )


def test_rows_as_they_are(folder):
    text = text_of(folder)
    decided = plan_vocabulary(folder, rows(5000), VocabularyRequest(as_is=True))
    assert (decided.vocabulary, decided.rows, decided.keep) == (make_vocabulary(units=0, **text), 5000, True)
    for path in folder.iterdir():
        path.unlink()
    decided = plan_vocabulary(folder, rows(5000))
    assert (decided.vocabulary, decided.rows, decided.keep, decided.tokenizer) == (
        Vocabulary.text_only(5000),
        5000,
        True,
        None,
    )
    with pytest.raises(
        UserError,
        match=r"units = 10: the model has 0 \(no tokenizer: rows as they are\); put tokenizer.model",
    ):
        plan_vocabulary(folder, rows(5000), VocabularyRequest(make_streams(10)))


def test_published_numbers_of_rows_are_recognised(folder):
    text = text_of(folder)
    for vocabulary in (make_vocabulary(**text), make_vocabulary(units=501, pitches=64, styles=100, **text)):
        for height in (vocabulary.size, vocabulary.rows()):
            decided = plan_vocabulary(folder, rows(height), VocabularyRequest(make_streams(7)))
            assert (decided.vocabulary, decided.rows, decided.keep) == (vocabulary, height, True)
    with pytest.raises(UserError, match="speech units = 502: the model has 501 .*; ask for what it has"):
        plan_vocabulary(folder, rows(vocabulary.size), VocabularyRequest(make_streams(502)))


def test_more_rows_than_ids_are_refused_and_fewer_too(folder):
    size = text_of(folder)["text_size"]
    with pytest.raises(
        UserError, match=f"model rows = {size + MAX_SURPLUS + 1}: the tokenizer has {size} ids"
    ):
        plan_vocabulary(folder, rows(size + MAX_SURPLUS + 1))
    for request in (None, VocabularyRequest(as_is=True)):
        with pytest.raises(
            UserError, match=rf"tokenizer = {size}: has more ids than the model has rows \({size - 1}\)"
        ):
            plan_vocabulary(folder, rows(size - 1), request)


def check_recognised(folder, vocabulary):
    decided = plan_vocabulary(folder, rows(vocabulary.size + 3))
    assert (decided.vocabulary, decided.keep, decided.tokenizer.size) == (
        vocabulary,
        True,
        vocabulary.text_size,
    )
    with pytest.raises(UserError, match="use files that belong together"):
        plan_vocabulary(folder, rows(vocabulary.size - 1))


def test_speech_tokens_added_to_tokenizer_json_are_recognised(folder):
    vocabulary = make_vocabulary(units=9, pitches=2, **text_of(folder))
    if (folder / "tokenizer.model").exists():
        (folder / "tokenizer.json").write_text('{"added_tokens": [], "model": {}}')
    add_to_json(
        folder, {piece: id for id, piece in enumerate(vocabulary.added_tokens(), vocabulary.text_size)}
    )
    check_recognised(folder, vocabulary)


def test_speech_tokens_in_added_tokens_json_are_recognised(two):
    vocabulary = make_vocabulary(units=9, pitches=2, **text_of(two))
    (two / "added_tokens.json").write_text(
        json.dumps({piece: id for id, piece in enumerate(vocabulary.added_tokens(), vocabulary.text_size)})
    )
    check_recognised(two, vocabulary)


@pytest.mark.parametrize(
    ("gap", "order", "says"), [(1, 1, "without a gap"), (0, -1, "not in the published order")]
)
def test_speech_tokens_out_of_place_are_refused(folder, gap, order, says):
    size = text_of(folder)["text_size"]
    if (folder / "tokenizer.model").exists():
        (folder / "tokenizer.json").write_text('{"added_tokens": [], "model": {}}')
    pieces = make_vocabulary(size, 4).added_tokens()[::order]
    add_to_json(folder, {piece: id for id, piece in enumerate(pieces, size + gap)})
    with pytest.raises(UserError, match=says):
        plan_vocabulary(folder, rows(size + 20))


def add_pad(folder, files, size):
    """Names <pad> at the first id after the pieces, in these files."""
    if "added_tokens.json" in files:
        write_json(folder / "added_tokens.json", {"<pad>": size})
    if "tokenizer_config.json" in files:
        write_json(folder / "tokenizer_config.json", {"added_tokens_decoder": {size: {"content": "<pad>"}}})
    if "tokenizer.json" in files:
        model = sentencepiece_file.read((folder / "tokenizer.model").read_bytes())
        values = from_sentencepiece(model, make_vocabulary(size, 1))
        write_json(folder / "tokenizer.json", values)
        add_to_json(folder, {"<pad>": size})


def follow(fix, folder):
    """Does what the error says."""
    if fix.startswith("take tokenizer.model away"):
        (folder / "tokenizer.model").unlink()
        return
    for name in fix.removeprefix("take it out of ").partition(";")[0].split(" and "):
        values = json.loads((folder / name).read_text())
        values.pop("<pad>", None)
        values.pop("added_tokens_decoder", None)
        if name == "tokenizer.json":
            values["added_tokens"] = [one for one in values["added_tokens"] if one["content"] != "<pad>"]
        write_json(folder / name, values)


@pytest.mark.parametrize("extra_rows", [0, 1], ids=["without a row", "with a row"])
@pytest.mark.parametrize(
    "files",
    [
        ("added_tokens.json",),
        ("tokenizer_config.json",),
        ("added_tokens.json", "tokenizer_config.json"),
        ("tokenizer.json",),
        ("tokenizer.json", "added_tokens.json"),
    ],
)
def test_a_pad_token_after_the_pieces_is_refused_with_a_fix_that_works(two, files, extra_rows):
    size = text_of(two)["text_size"]
    add_pad(two, files, size)
    with pytest.raises(UserError, match=f"tokenizer = <pad>: was added after the {size} pieces") as caught:
        plan_vocabulary(two, rows(size + extra_rows), VocabularyRequest(make_streams(20)))
    follow(caught.value.fix, two)
    decided = plan_vocabulary(two, rows(size + extra_rows), VocabularyRequest(make_streams(20)))
    kept = size + (extra_rows and "tokenizer.json" in files)
    assert (decided.vocabulary.text_size, decided.keep) == (kept, False)


def test_rows_stay_as_they_are_with_a_pad_token(two):
    size = text_of(two)["text_size"]
    add_pad(two, ("added_tokens.json",), size)
    assert plan_vocabulary(two, rows(size + 1), VocabularyRequest(as_is=True)).rows == size + 1


def test_tokens_added_to_tokenizer_json_are_text(texts, tmp_path):
    folder = shutil.copytree(texts / "three", tmp_path / "llama")
    size = text_of(folder)["text_size"]
    add_to_json(folder, {"<|pad|>": size, "<|im_start|>": size + 1})
    assert (
        plan_vocabulary(folder, rows(size + 2), VocabularyRequest(make_streams(3))).vocabulary.text_tag
        == size + 2
    )


def test_llama_3s_own_tokenizer_model_needs_tokenizer_json_too(texts, tmp_path):
    folder = shutil.copytree(texts / "three", tmp_path / "llama")
    (folder / "tokenizer.model").write_text("IQ== 0\nIg== 1\nIw== 2\n")
    size = text_of(texts / "three")["text_size"]
    assert plan_vocabulary(folder, rows(size)).vocabulary.text_size == size
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="is no SentencePiece model .*put the Hugging Face tokenizer.json"):
        plan_vocabulary(folder, rows(size))


def test_what_an_export_declares_must_fit(two):
    size = text_of(two)["text_size"]

    def say(vocabulary):
        (two / "config.json").write_text(json.dumps({"spirit_jax": {"vocabulary": vocabulary.to_dict()}}))

    say(make_vocabulary(size, 10))
    assert plan_vocabulary(two, rows(size + 12)).vocabulary == make_vocabulary(size, 10)
    with pytest.raises(
        UserError,
        match=f"rows = {size + 11}: its config.json declares {size} text ids and {size + 12} in all",
    ):
        plan_vocabulary(two, rows(size + 11))
    say(Vocabulary.text_only(size))
    assert not plan_vocabulary(
        two, rows(Vocabulary.base(size).rows()), VocabularyRequest(as_is=True)
    ).vocabulary.has_speech, "whatever its height"
    say(make_vocabulary(size - 1, 10))
    with pytest.raises(UserError, match=f"tokenizer ids = {size}"):
        plan_vocabulary(two, rows(size + 12))
