import dataclasses
import json
import shutil

import numpy as np
import pytest

from spirit_jax.config import DataConfig, Source
from spirit_jax.core.errors import UserError
from spirit_jax.speech.codec_folder import read_identity
from spirit_jax.tokens.interleave import Arrangement
from spirit_jax.tokens.text import TextTokenizer
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
    assert source.rows[0].dtype == np.int32
    assert source.rows[0][0] == 1


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
