"""JSON lines hold what training reads, and an exported tokenizer reads their strings as the same ids."""

import itertools
import json

import pytest
import tokenizers

from spirit_jax.config import DataConfig, Source
from spirit_jax.datasets.shards import open_shards
from spirit_jax.model_io.hf_tokenizer import tokenizer_files
from spirit_jax.tokens.interleave import Arrangement
from spirit_jax.training.data.batches import training_batches
from spirit_jax.training.data.jsonl_export import draw_documents
from spirit_jax.training.data.sources import open_data
from tests.data_prep.conftest import prepare

SHORT_SPANS = ("data.text_span_words=[1,2]", "data.speech_span_words=[1,2]")
POISSON = ("data.poisson_span_words=[1.5,1.2]",)


def export(at, out, *options) -> list:
    """The values of the lines."""
    given = ("--shards", at.spoken, "--tokenizer", at.tokenizer, "--out", out)
    assert prepare("export-jsonl", *given, *options) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    (key,) = {key for line in lines for key in line}
    return [line[key] for line in lines]


def config_of(at, arrangement, **changes) -> DataConfig:
    return DataConfig(str(at.tokenizer), (Source(str(at.spoken), arrangement),), **changes)


@pytest.mark.parametrize("arrangement", list(Arrangement))
def test_documents_are_those_of_a_training_run_with_the_same_seed(at, tmp_path, arrangement):
    """Training reads them in this order, then packs those that it has read."""
    options = ("--arrangement", arrangement.value, "--seed", 3, "--set", *SHORT_SPANS)
    first = set(map(tuple, export(at, tmp_path / "1.jsonl", *options)))
    later = set(map(tuple, export(at, tmp_path / "300.jsonl", "--epochs", 300, *options)))
    data = open_data(config_of(at, arrangement, text_span_words=(1, 2), speech_span_words=(1, 2)))
    seen = set()
    for batch in itertools.islice(training_batches(data.train, 256, 1, seed=3), 30):
        for segment in range(1, int(batch.segment_ids.max()) + 1):
            at_T = batch.segment_ids[0] == segment
            seen.add((*batch.tokens[0][at_T].tolist(), int(batch.targets[0][at_T][-1])))
    assert first <= seen <= later


def test_each_epoch_draws_again_and_the_seed_decides(at, tmp_path):
    options = ("--set", *SHORT_SPANS)
    twice = export(at, tmp_path / "a.jsonl", "--epochs", 2, *options)
    once = export(at, tmp_path / "b.jsonl", *options)
    other = export(at, tmp_path / "c.jsonl", "--seed", 1, *options)
    assert len(once) == len(open_shards(at.spoken)) == len(twice) / 2
    assert twice[: len(once)] == once
    assert sorted(twice[len(once) :]) != sorted(once)
    assert sorted(other) != sorted(once)


def test_poisson_spans_are_drawn_by_the_same_code(at, tmp_path):
    found = export(at, tmp_path / "d.jsonl", "--set", *POISSON)
    data = open_data(config_of(at, Arrangement.INTERLEAVED, poisson_span_words=(1.5, 1.2)))
    assert found == [document.tolist() for document in draw_documents(data, 0, 1)]
    assert found != export(at, tmp_path / "e.jsonl")


@pytest.mark.parametrize("arrangement", list(Arrangement))
def test_an_exported_tokenizer_reads_the_strings_as_the_ids(at, tmp_path, arrangement):
    options = ("--arrangement", arrangement.value, "--set", *SHORT_SPANS)
    ids = export(at, tmp_path / "ids.jsonl", *options)
    strings = export(at, tmp_path / "text.jsonl", "--form", "text", *options)
    data = open_data(config_of(at, arrangement))
    data.tokenizer.save(tmp_path)
    files = tokenizer_files(tmp_path, data.vocabulary, 512)
    reader = tokenizers.Tokenizer.from_str(files["tokenizer.json"].decode())
    for document, string in zip(ids, strings, strict=True):
        assert (document[0], document[-1]) == (data.vocabulary.bos, data.vocabulary.eos)
        assert reader.encode(string, add_special_tokens=False).ids == document[1:-1]


def test_texts_that_spell_tokens_are_left_out_of_strings_and_counted(at, tmp_path, capsys):
    texts = tmp_path / "t.jsonl"
    texts.write_text('{"id": "a", "text": "say [Speech] twice"}\n{"id": "b", "text": "a [note] stays"}\n')
    out = tmp_path / "shards"
    codec, tokenizer = ("--codec", at.codec), ("--tokenizer", at.tokenizer)
    assert prepare("shards", "--texts", texts, *codec, *tokenizer, "--out", out) == 0
    options = ("--shards", out, *tokenizer, *codec, "--split", "text", "--arrangement", "text")
    assert prepare("export-jsonl", *options, "--form", "text", "--out", tmp_path / "s.jsonl") == 0
    assert "1 documents are left out" in capsys.readouterr().err
    assert json.loads((tmp_path / "s.jsonl").read_text()) == {"text": "[Text]a [note] stays"}
    assert prepare("export-jsonl", *options, "--out", tmp_path / "i.jsonl") == 0
    assert (tmp_path / "i.jsonl").read_text().count("\n") == 2
    alone = (*options[:4], *options[6:], "--form", "text", "--out", tmp_path / "alone.jsonl")
    assert prepare("export-jsonl", *alone) == 0
    strings = [json.loads(line)["text"] for line in (tmp_path / "alone.jsonl").open()]
    assert sorted(strings) == ["a [note] stays", "say [Speech] twice"], "without speech they are plain text"


def test_the_file_is_whole_or_as_before(at, tmp_path, monkeypatch):
    from spirit_jax.training.data import jsonl_export

    before = export(at, tmp_path / "d.jsonl")

    def stop(*args):
        yield from list(draw_documents(*args))[:3]
        raise KeyboardInterrupt

    monkeypatch.setattr(jsonl_export, "draw_documents", stop)
    given = ("--shards", at.spoken, "--tokenizer", at.tokenizer, "--out", tmp_path / "d.jsonl")
    assert prepare("export-jsonl", *given) == 130
    assert [json.loads(line)["input_ids"] for line in (tmp_path / "d.jsonl").open()] == before
    assert [path.name for path in tmp_path.iterdir()] == ["d.jsonl"]


@pytest.mark.parametrize(
    "options",
    [
        ("--epochs", 0),
        ("--split", "nowhere"),
        ("--out", "documents.txt"),
        ("--shards", "nowhere"),
        ("--set", "data.text_spans=[1,2]"),
        ("--set", "data.poisson_span_words=[0,2]"),
    ],
)
def test_wrong_options_are_one_line_and_write_nothing(at, tmp_path, capsys, monkeypatch, options):
    monkeypatch.chdir(tmp_path)
    given = ("--shards", at.spoken, "--tokenizer", at.tokenizer, "--out", "d.jsonl")
    assert prepare("export-jsonl", *given, *options) == 2
    assert capsys.readouterr().err.count("error: ") == 1
    assert not list(tmp_path.iterdir())
