import gzip
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import sentencepiece
import tensorflow_datasets as tfds

from data_prep.shards import contents as shard_contents
from spirit_jax.datasets.shards import (
    Finished,
    Layout,
    check_compatible,
    open_shards,
    read_metadata,
    split_sizes,
)
from spirit_jax.datasets.units_folder import open_units
from spirit_jax.speech.codec_folder import load_codec
from spirit_jax.tokens.interleave import Arrangement, Spans, arrange
from spirit_jax.tokens.text import TextTokenizer
from spirit_jax.tokens.vocabulary import TokenClass
from tests.data_prep.conftest import prepare
from tests.layouts import LAYOUTS

COUNTS = {"heldout": 5, "heldout_voice": 3, "speech": 3, "text": 60, "train": 18}
SPANS = ("--text-span", 2, 4, "--speech-span", 1, 3)


@pytest.fixture(scope="module")
def frozen(stages):
    out = stages.root / "frozen"
    assert (
        prepare(
            "shards",
            *stages.shard_options,
            "--out",
            out,
            "--config",
            "interleaved",
            "--draws",
            3,
            "--seed",
            7,
            *SPANS,
        )
        == 0
    )
    return out


def test_a_split_for_each_split_of_the_manifest(stages):
    version = stages.shards / "spirit_tokens" / "aligned" / "1.0.0"
    assert split_sizes(version) == COUNTS
    assert {name: len(open_shards(stages.shards, split=name)) for name in COUNTS} == COUNTS


def test_records_hold_units_words_and_times(stages):
    tokenizer = TextTokenizer.load(stages.tokenizer)
    rows = {row["id"]: row for row in open_units(stages.units).rows()}
    for record in open_shards(stages.shards, split="train"):
        row = rows[record.id]
        assert (record.voice, record.source) == (row["voice"], "synthetic")
        assert tokenizer.decode(record.text_ids) == row["text"]
        assert record.text_ids.tolist() == tokenizer.encode(row["text"])
        assert record.aligned
        np.testing.assert_allclose(record.word_start_s, [word[1] for word in row["words"]], rtol=1e-6)
        np.testing.assert_allclose(record.word_end_s, [word[2] for word in row["words"]], rtol=1e-6)
        for name in ("units", "pitch", "style"):
            np.testing.assert_array_equal(record.speech.codes[name], row[name])


def test_speech_alone_and_text_alone(stages):
    assert all(
        record.speech is not None and not len(record.text_ids) and not record.aligned
        for record in open_shards(stages.shards, split="speech")
    )
    assert all(
        record.speech is None and len(record.text_ids) and not record.aligned
        for record in open_shards(stages.shards, split="text")
    )


def test_any_tfds_reader_sees_the_same_rows(stages):
    ours = open_shards(stages.shards, split="heldout")
    theirs = tfds.builder_from_directory(ours.folder).as_data_source("heldout")
    for index in range(len(ours)):
        row = ours.stored_row(index)
        assert row.keys() == theirs[index].keys()
        for name, value in theirs[index].items():
            np.testing.assert_array_equal(row[name], value)


def test_metadata_names_tokenizer_encoder_and_vocabulary(stages):
    codec, tokenizer = load_codec(stages.codec), TextTokenizer.load(stages.tokenizer)
    metadata = open_shards(stages.shards).metadata
    assert metadata.layout is Layout.ALIGNED
    assert metadata.encoder_fingerprint == codec.fingerprint
    assert metadata.tokenizer_fingerprint == tokenizer.fingerprint
    vocabulary = metadata.vocabulary
    assert (vocabulary.text_size, vocabulary.streams) == (tokenizer.size, codec.streams)
    check_compatible(metadata, vocabulary, tokenizer.fingerprint, codec.fingerprint)


def test_interleaved_documents_are_seeded_draws_of_the_aligned_records(stages, frozen):
    documents = open_shards(frozen, "interleaved")
    assert split_sizes(documents.folder) == {
        name: count * (3 if name not in ("text", "speech") else 1) for name, count in COUNTS.items()
    }
    aligned = open_shards(stages.shards)
    records = {record.id: record for record in aligned}
    vocabulary, drawn = aligned.metadata.vocabulary, {}
    for index in range(len(documents)):
        drawn.setdefault(documents.stored_row(index)["id"].decode(), []).append(documents[index])
    assert drawn.keys() == records.keys()
    for id, found in drawn.items():
        (speech,) = arrange(records[id], Arrangement.SPEECH, vocabulary, Spans(), np.random.default_rng(0))
        (text,) = arrange(records[id], Arrangement.TEXT, vocabulary, Spans(), np.random.default_rng(0))
        for document in found:
            is_text = vocabulary.classes_of(document) == TokenClass.TEXT
            assert is_subsequence(document[is_text], text)
            assert is_subsequence(
                document[(document >= vocabulary.speech_start) & (document < vocabulary.starts[1])], speech
            )
            assert {vocabulary.text_tag, vocabulary.speech_tag} <= set(document)
    assert sum(len({tuple(document) for document in found}) for found in drawn.values()) > 2 * len(records), (
        "draws differ"
    )


def is_subsequence(part, whole) -> bool:
    rest = iter(whole.tolist())
    return all(id in rest for id in part.tolist())


def read_all(folder):
    documents = open_shards(folder, Layout.INTERLEAVED)
    return [documents[index].tolist() for index in range(len(documents))]


def test_the_same_seed_gives_the_same_documents(stages, frozen, tmp_path):
    options = ("shards", *stages.shard_options, "--config", "interleaved", "--draws", 3, *SPANS)
    assert prepare(*options, "--seed", 7, "--out", tmp_path / "same") == 0
    assert prepare(*options, "--seed", 8, "--out", tmp_path / "other") == 0
    assert read_all(tmp_path / "same") == read_all(frozen)
    assert read_all(tmp_path / "other") != read_all(frozen)


def test_unaligned_utterances_become_a_document_of_speech_and_one_of_text(stages, tmp_path):
    (row,) = [row for row in open_units(stages.units).rows() if row["id"] == "train-000000"]
    metadata = open_shards(stages.shards).metadata
    contents = shard_contents.Contents(
        metadata,
        TextTokenizer.load(stages.tokenizer),
        open_units(stages.units),
        draws=shard_contents.Draws(count=3),
    )
    unaligned = {**row, "words": None}
    (record,) = contents.records([unaligned])
    examples = dict(shard_contents.interleaved_examples(unaligned, record, contents))
    speech, text = (example["tokens"] for example in examples.values())
    assert speech[1] == metadata.vocabulary.speech_tag
    assert text[1] == metadata.vocabulary.text_tag


def test_finished_documents_say_how_they_were_made(frozen, stages):
    made = open_shards(frozen, "interleaved").metadata.finished
    assert made == Finished(Arrangement.INTERLEAVED, Spans((2, 4), (1, 3))).to_dict()
    assert open_shards(stages.shards).metadata.finished is None


def test_word_transcriptions_can_be_finished_too(stages, tmp_path):
    options = ("--config", "interleaved", "--arrangement", "word_transcription", "--draws", 3)
    assert prepare("shards", *stages.shard_options, *options, "--out", tmp_path / "out") == 0
    documents, aligned = open_shards(tmp_path / "out", "interleaved"), open_shards(stages.shards)
    made = Finished(Arrangement.WORD_TRANSCRIPTION, Spans())
    assert documents.metadata.finished == made.to_dict()
    assert len(documents) == len(aligned), "there are no spans to draw again"
    records = {record.id: record for record in aligned}
    for index, document in enumerate(documents):
        record = records[documents.stored_row(index)["id"].decode()]
        vocabulary, rng = aligned.metadata.vocabulary, np.random.default_rng(0)
        (wanted,) = arrange(record, made.arrangement, vocabulary, Spans(), rng)
        np.testing.assert_array_equal(document, wanted)


def test_finishing_documents_without_word_times_is_refused_naming_the_count(stages, tmp_path, capsys):
    units = shutil.copytree(stages.units, tmp_path / "units")
    for path in units.glob("units-*.jsonl"):
        rows = [{**json.loads(line), "words": None} for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ("--units", units, "--tokenizer", stages.tokenizer, "--codec", stages.codec)
    assert prepare("shards", *options, "--config", "interleaved", "--out", tmp_path / "out") == 2
    assert "0 of 29 utterances are aligned" in (error := capsys.readouterr().err)
    assert "make align" in error
    assert not (tmp_path / "out").exists()
    assert prepare("shards", *options, "--out", tmp_path / "out") == 0


def test_units_of_another_codec_are_refused_naming_both(stages, tmp_path, capsys):
    assert prepare("fit-codec", "--audio", stages.manifest, "--out", tmp_path / "codec", "--units", 16) == 0
    other, made_with = load_codec(tmp_path / "codec").fingerprint, load_codec(stages.codec).fingerprint
    capsys.readouterr()
    options = ("--units", stages.units, "--tokenizer", stages.tokenizer, "--codec", tmp_path / "codec")
    assert prepare("shards", *options, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert other in error
    assert made_with in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["t.txt", "t.txt.gz"])
def test_text_alone_needs_no_codec(stages, tmp_path, name):
    content = b"the old farmer\nslept\n"
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    options = ("shards", "--texts", tmp_path / name, "--tokenizer", stages.tokenizer)
    for more, texts in (((), ["the old farmer\nslept\n"]), (("--lines",), ["slept", "the old farmer"])):
        assert prepare(*options, "--out", tmp_path / "out", *more) == 0
        shards = open_shards(tmp_path / "out", split="text")
        assert shards.metadata.encoder_fingerprint is None
        assert not shards.metadata.vocabulary.has_speech
        decode = TextTokenizer.load(stages.tokenizer).decode
        assert sorted(decode(record.text_ids) for record in shards) == texts


def test_texts_keep_their_layout(stages, tmp_path):
    """Also as documents; and a text that is not cut has no words."""
    texts = {f"t{number}": text for number, text in enumerate(LAYOUTS.values()) if text.strip()}
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"id": id, "text": text}) + "\n" for id, text in texts.items()))
    tokenizer = TextTokenizer.load(stages.tokenizer)
    options = ("shards", "--texts", path, "--tokenizer", stages.tokenizer, "--out", tmp_path / "out")
    for layout in Layout:
        assert prepare(*options, "--config", layout.value) == 0
        shards = open_shards(tmp_path / "out", layout, "text")
        assert shards.metadata.whole_text
        column = "tokens" if layout is Layout.INTERLEAVED else "text_ids"
        rows = [shards.stored_row(index) for index in range(len(shards))]
        assert {row["id"].decode(): tokenizer.decode(row[column]) for row in rows} == texts
        if layout is Layout.ALIGNED:
            assert all(row["text"].decode() == texts[row["id"].decode()] for row in rows)
            assert not any(record.words for record in shards)


def test_a_tokenizer_that_drops_line_breaks_is_named(stages, tmp_path, capsys):
    (tmp_path / "t.txt").write_text("the old farmer\nslept\n")
    with open(tmp_path / "tokenizer.model", "wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["the old farmer slept"] * 9), model_writer=file, vocab_size=16,
            minloglevel=2,
        )  # fmt: skip
    options = ("--texts", tmp_path / "t.txt", "--tokenizer", tmp_path / "tokenizer.model")
    assert prepare("shards", *options, "--out", tmp_path / "out") == 0
    assert "drops line breaks" in capsys.readouterr().err


def test_shards_are_whole_or_as_before(stages, tmp_path, monkeypatch):
    shutil.copytree(stages.shards, tmp_path / "out")
    before = sorted(path.name for path in (tmp_path / "out").rglob("*"))

    def fail(row, record, contents):
        if row["split"] == "text":
            raise KeyboardInterrupt
        yield from aligned(row, record, contents)

    aligned = shard_contents.aligned_examples
    monkeypatch.setattr(shard_contents, "aligned_examples", fail)
    left = tmp_path / "out/spirit_tokens/.aligned.killed.partial"
    left.mkdir()
    assert prepare("shards", *stages.shard_options, "--out", tmp_path / "out") == 130
    assert not left.exists(), "temporary files of a killed call are removed"
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == before
    assert len(open_shards(tmp_path / "out")) == COUNTS["train"]


def test_one_id_for_an_utterance_and_a_text_of_one_split_is_refused(stages, tmp_path, capsys):
    id = next(row["id"] for row in open_units(stages.units).rows() if row["split"] == "speech")
    texts = tmp_path / "texts.jsonl"
    options = (
        "--units",
        stages.units,
        "--codec",
        stages.codec,
        "--tokenizer",
        stages.tokenizer,
        "--texts",
        texts,
    )
    texts.write_text(json.dumps({"id": id, "text": "the cat", "split": "speech"}))
    assert prepare("shards", *options, "--out", tmp_path / "out") == 2
    assert f"error: id = {id}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    texts.write_text('{"id": "t", "text": "the cat"}\n' * 2)
    assert prepare("shards", *options, "--out", tmp_path / "out") == 2, "nor may two texts have one"
    texts.write_text(json.dumps({"id": id, "text": "the cat"}))
    assert prepare("shards", *options, "--out", tmp_path / "out") == 0, "in another split it may be"


def test_other_keys_of_a_text_are_not_codes(stages, tmp_path):
    texts = tmp_path / "texts.jsonl"
    texts.write_text(json.dumps({"id": "t", "text": "the cat", "units": "cm"}))
    assert (
        prepare(
            "shards",
            "--codec",
            stages.codec,
            "--tokenizer",
            stages.tokenizer,
            "--texts",
            texts,
            "--out",
            tmp_path / "out",
        )
        == 0
    )
    assert not open_shards(tmp_path / "out", split="text")[0].spoken


@pytest.mark.parametrize(
    "options",
    [
        ("--draws", 0),
        ("--seed", -1),
        ("--text-span", 3, 2),
        ("--units", "nowhere"),
        ("--lines",),
        ("--tokenizer", "nowhere"),
        ("--codec", "nowhere"),
    ],
)
def test_wrong_options_are_one_line_and_write_nothing(stages, tmp_path, capsys, options):
    assert prepare("shards", *stages.shard_options, "--out", tmp_path / "out", *options) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_tensorflow_is_not_imported(stages):
    check = "import sys, data_prep.shards.token_shards; from spirit_jax.datasets.shards import open_shards; "
    check += f"open_shards({str(stages.shards)!r})[0]; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_metadata_survives_its_dictionary(stages):
    metadata = open_shards(stages.shards).metadata
    assert (
        type(metadata).from_dict(metadata.to_dict())
        == metadata
        == read_metadata(stages.shards / "spirit_tokens" / "aligned" / "1.0.0")
    )


def test_several_folders_of_units_are_one_source(stages, tmp_path, capsys):
    for index in range(2):
        options = ("units", "--audio", stages.manifest, "--codec", stages.codec, "--out", tmp_path / "parts")
        assert prepare(*options, "--part", f"{index}/2") == 0
    rest = ("--tokenizer", stages.tokenizer, "--codec", stages.codec)
    folders = sorted((tmp_path / "parts").iterdir())
    assert prepare("shards", "--units", *folders, *rest, "--out", tmp_path / "several") == 0
    assert prepare("shards", "--units", tmp_path / "parts", *rest, "--out", tmp_path / "below") == 0
    assert prepare("shards", "--units", stages.units, *rest, "--out", tmp_path / "one") == 0
    several, below, one = (open_shards(tmp_path / name) for name in ("several", "below", "one"))
    by_id = {record.id: record for record in one}
    assert several.fingerprint == below.fingerprint
    assert {record.id for record in several} == set(by_id)
    for record in several:
        np.testing.assert_array_equal(record.speech.units, by_id[record.id].speech.units)
    capsys.readouterr()
    assert prepare("shards", "--units", stages.units, folders[0], *rest, "--out", tmp_path / "twice") == 2
    count = sum(1 for _ in open_units(folders[0]).rows())
    assert f"; {count} ids do so" in capsys.readouterr().err


def test_folders_of_two_encoders_are_no_source(stages, tmp_path, capsys):
    assert prepare("fit-codec", "--audio", stages.manifest, "--out", tmp_path / "codec", "--units", 9) == 0
    options = (
        "units",
        "--audio",
        stages.manifest,
        "--codec",
        tmp_path / "codec",
        "--out",
        tmp_path / "other",
    )
    assert prepare(*options) == 0
    rest = ("--tokenizer", stages.tokenizer, "--codec", stages.codec, "--out", tmp_path / "out")
    assert prepare("shards", "--units", stages.units, tmp_path / "other", *rest) == 2
    assert "is not the encoder of" in capsys.readouterr().err
