import dataclasses
import json
import shutil

import numpy as np
import pytest

from spirit_jax.config import DataConfig, Source
from spirit_jax.core.errors import UserError
from spirit_jax.speech.codec_identity import read_identity
from spirit_jax.tokens.interleave import Arrangement
from spirit_jax.tokens.text import TextTokenizer
from spirit_jax.training.data import alignment
from spirit_jax.training.data.sources import check_source, open_data
from tests.speech_codes import make_vocabulary
from tests.training.tiny import make_record, make_source


def config(at, *sources: tuple, **changes) -> DataConfig:
    made = tuple(Source(str(shards), arrangement) for shards, arrangement in sources)
    return dataclasses.replace(DataConfig(str(at.tokenizer), made, str(at.codec)), **changes)


def test_sources_are_opened_with_their_vocabulary(at):
    held_out = (Source(str(at.spoken), split="held_out"),)
    data = open_data(
        config(at, (at.spoken, Arrangement.INTERLEAVED), (at.texts, Arrangement.TEXT), validation=held_out)
    )
    assert data.vocabulary == make_vocabulary(TextTokenizer.load(at.tokenizer).size, 32)
    assert [(source.name, len(source.rows)) for source in data.train] == [("0-interleaved", 4), ("1-text", 4)]
    assert [(source.name, len(source.rows)) for source in data.validation] == [("2-interleaved", 4)]
    assert data.tokenizer.decode(data.train[0].arrange.keywords["asr_marker_ids"]) == "transcript:"


def test_without_a_codec_the_shards_tell_the_speech(at):
    assert open_data(config(at, (at.spoken, Arrangement.SPEECH), codec=None)).vocabulary.streams[0].size == 32
    assert (
        open_data(config(at, (at.texts, Arrangement.TEXT), (at.spoken, Arrangement.SPEECH), codec=None))
        .vocabulary.streams[0]
        .size
        == 32
    )
    assert not open_data(config(at, (at.spoken, Arrangement.TEXT), codec=None)).vocabulary.has_speech


def test_finished_documents_are_read_too(at):
    (source,) = open_data(config(at, (at.frozen, Arrangement.INTERLEAVED))).train
    document = source.parse(source.rows[0])
    assert (document.dtype, document[0]) == (np.int32, 1)


def test_shards_without_the_layout_of_their_texts_are_named(at, tmp_path, capsys):
    open_data(config(at, (at.texts, Arrangement.TEXT)))
    assert "warning" not in capsys.readouterr().err
    shutil.copytree(at.texts, tmp_path / "earlier")
    (metadata,) = (tmp_path / "earlier").rglob("metadata.json")
    values = json.loads(metadata.read_text())
    del values["whole_text"]
    metadata.write_text(json.dumps(values))
    open_data(config(at, (tmp_path / "earlier", Arrangement.TEXT), (at.spoken, Arrangement.TEXT)))
    warned = capsys.readouterr().err
    assert warned.count("warning") == 1
    assert str(tmp_path / "earlier") in warned


@pytest.mark.parametrize("arrangement", [Arrangement.INTERLEAVED, Arrangement.WORD_TRANSCRIPTION])
@pytest.mark.parametrize("shards", ["unaligned", "texts"])
def test_arrangements_by_words_without_aligned_records_are_refused(at, arrangement, shards):
    """Those would train as speech and as text, in no document together."""
    with pytest.raises(UserError, match=rf"0-{arrangement.value} = 0 of 4 records .*make align"):
        open_data(config(at, (getattr(at, shards), arrangement)))
    held_out = (Source(str(getattr(at, shards)), arrangement, split="held_out"),)
    with pytest.raises(UserError, match=r"1-.* = 0 of 4 records"):
        open_data(config(at, (at.spoken, Arrangement.SPEECH), validation=held_out))
    open_data(config(at, (getattr(at, shards), Arrangement.TEXT)))


def test_of_partly_aligned_records_both_shares_are_known(at):
    data = open_data(
        config(at, (at.half_aligned, Arrangement.INTERLEAVED), (at.half_aligned, Arrangement.SPEECH))
    )
    assert data.shares == {"0-interleaved": {"aligned": 0.25, "unaligned": 0.75}}
    assert str(data.train[0].alignment) == "25.0% aligned, 75.0% unaligned of 4 records read"


def test_alignment_is_measured_on_records_spread_evenly(monkeypatch):
    monkeypatch.setattr(alignment, "PROBED", 10)
    rows = [make_record(index, 3, aligned=index >= 60) for index in range(100)]
    assert alignment.measure_alignment("x", rows, Arrangement.INTERLEAVED).shares["aligned"] == 0.4


FROZEN_CHANGES = [
    ({}, Arrangement.SPEECH, "arrangement = speech.* made with interleaved"),
    ({}, Arrangement.WORD_TRANSCRIPTION, "arrangement = word_transcription.* made with interleaved"),
    ({"append_eos": False}, Arrangement.INTERLEAVED, "append_eos = False.* made with True"),
    ({"text_span_words": (1, 2)}, Arrangement.INTERLEAVED, r"text_span_words = \[1, 2\].*\[10, 30\]"),
    ({"speech_span_words": (1, 2)}, Arrangement.INTERLEAVED, r"speech_span_words = \[1, 2\].*\[5, 15\]"),
    ({"speech_first": 0.25}, Arrangement.INTERLEAVED, "speech_first = 0.25.* made with 0.5"),
    (
        {"poisson_span_words": (9.0, 5.0)},
        Arrangement.INTERLEAVED,
        r"poisson_span_words = \[9.0, 5.0\].* made with None",
    ),
]


@pytest.mark.parametrize(("changes", "arrangement", "message"), FROZEN_CHANGES)
def test_finished_documents_made_otherwise_are_refused(at, changes, arrangement, message):
    with pytest.raises(UserError, match=f"source 0-.*{message}"):
        open_data(config(at, (at.frozen, arrangement), **changes))


def test_finished_documents_of_an_earlier_version_are_read_with_a_remark(at, tmp_path):
    shutil.copytree(at.frozen, tmp_path / "frozen")
    (path,) = (tmp_path / "frozen").rglob("metadata.json")
    values = json.loads(path.read_text())
    del values["finished"]
    path.write_text(json.dumps(values))
    (source,) = open_data(config(at, (tmp_path / "frozen", Arrangement.SPEECH))).train
    assert "don't say how documents were made" in source.remark
    (source,) = open_data(config(at, (at.frozen, Arrangement.INTERLEAVED))).train
    assert source.remark == ""


def test_poisson_spans_are_not_those_of_an_earlier_version(at, tmp_path):
    """Which says nothing of them."""
    shutil.copytree(at.frozen, tmp_path / "frozen")
    (path,) = (tmp_path / "frozen").rglob("metadata.json")
    values = json.loads(path.read_text())
    del values["finished"]["data.poisson_span_words"]
    path.write_text(json.dumps(values))
    open_data(config(at, (tmp_path / "frozen", Arrangement.INTERLEAVED)))
    with pytest.raises(UserError, match="poisson_span_words"):
        open_data(config(at, (tmp_path / "frozen", Arrangement.INTERLEAVED), poisson_span_words=(9.0, 5.0)))


def test_another_tokenizer_is_refused_naming_both(at):
    prints = [TextTokenizer.load(folder).fingerprint for folder in (at.tokenizer, at.other_tokenizer)]
    with pytest.raises(UserError) as refused:
        open_data(config(at, (at.spoken, Arrangement.SPEECH), tokenizer=str(at.other_tokenizer)))
    assert all(name in str(refused.value) for name in prints)


def test_another_encoder_is_refused_naming_both(at):
    prints = [read_identity(folder).fingerprint for folder in (at.codec, at.other_codec)]
    with pytest.raises(UserError) as refused:
        open_data(config(at, (at.spoken, Arrangement.SPEECH), codec=str(at.other_codec)))
    assert prints[0] != prints[1]
    assert all(name in str(refused.value) for name in prints)


@pytest.mark.parametrize("folder", ["nowhere", "tokenizer"])
def test_no_shards_there(at, folder):
    with pytest.raises(UserError, match=folder):
        open_data(config(at, (at.spoken.parent / folder, Arrangement.SPEECH)))


def test_an_unknown_split(at):
    with pytest.raises(UserError, match="held_out, train"):
        open_data(
            config(at, (at.spoken, Arrangement.SPEECH), validation=(Source(str(at.spoken), split="dev"),))
        )


def test_texts_cannot_be_transcribed(at):
    with pytest.raises(UserError, match="0-asr.*no record gives a document"):
        open_data(config(at, (at.texts, Arrangement.ASR)))


def test_fewer_records_than_streams(at):
    with pytest.raises(UserError, match="one for each of the 5 streams"):
        open_data(config(at, (at.spoken, Arrangement.SPEECH), streams=5))


def test_an_empty_source():
    with pytest.raises(UserError, match="0 records"):
        check_source(make_source("empty", []))
    check_source(make_source("one", [make_record(0, 3)]))
