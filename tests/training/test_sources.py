import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from data_prep.token_shards import Draws, write_shards
from spirit_jax.config import Arrangement, DataConfig, Source
from spirit_jax.errors import UserError
from spirit_jax.shards import Layout, Metadata
from spirit_jax.speech.codec import EmbeddedCodec
from spirit_jax.tokens.text import TextTokenizer, train_tokenizer
from spirit_jax.tokens.vocab import Vocabulary
from spirit_jax.training.data import Feed
from spirit_jax.training.sources import check_feed, open_sources
from tests.training.tiny import ARRANGER, make_record

SENTENCES = [f"the {animal} {verb} the {thing}" for animal in ("cat", "dog", "cow") for verb in ("saw", "ate") for thing in ("hat", "mat", "bat")]


def write(out, tokenizer, codec=None, layout=Layout.ALIGNED, spoken=True) -> None:
    """Shards of eight sentences, half of them held out."""
    rows = []
    for index, text in enumerate(SENTENCES[:8]):
        words = [[word, 0.2 * place, 0.2 * place + 0.2] for place, word in enumerate(text.split())]
        speech = {"units": [index, *range(24)], "pitch": None, "style": None, "audio": "a.wav", "words": words, "duration_s": 1.0}
        silent = {"units": None, "pitch": None, "style": None, "audio": None, "words": None, "duration_s": None}
        common = {"id": f"r{index}", "text": text, "voice": "v", "source": "s", "split": ("train", "held_out")[index % 2]}
        rows.append({**common, **(speech if spoken else silent)})
    special = (tokenizer.bos, tokenizer.eos, tokenizer.unk)
    vocabulary = Vocabulary(tokenizer.size, codec.unit_count if codec else 0, 0, 0, *special)
    metadata = Metadata(layout, vocabulary, tokenizer.fingerprint, codec.fingerprint if codec else None)
    write_shards(SimpleNamespace(metadata=metadata, tokenizer=tokenizer, draws=Draws(), rows=lambda: iter(rows)), out)


@pytest.fixture(scope="module")
def at(tmp_path_factory):
    """Folders: two tokenizers, two codecs, spoken and written shards."""
    root = tmp_path_factory.mktemp("sources")
    at = SimpleNamespace(**{name: root / name for name in ("tokenizer", "other_tokenizer", "codec", "other_codec", "spoken", "texts", "frozen")})
    tokenizer = train_tokenizer(SENTENCES * 5, 290, at.tokenizer)
    train_tokenizer(SENTENCES[:6] * 5, 285, at.other_tokenizer)
    time_s = np.arange(16000) / 16000
    wavs = [np.sin(2 * np.pi * pitch * time_s).astype(np.float32) for pitch in (110.0, 220.0, 440.0)]
    codec = EmbeddedCodec.train(wavs, units=32)
    codec.save(at.codec)
    EmbeddedCodec.train(wavs, units=32, seed=1).save(at.other_codec)
    write(at.spoken, tokenizer, codec)
    write(at.frozen, tokenizer, codec, Layout.INTERLEAVED)
    write(at.texts, tokenizer, spoken=False)
    return at


def config(at, *sources: tuple, **changes) -> DataConfig:
    made = tuple(Source(str(shards), arrangement) for shards, arrangement in sources)
    return dataclasses.replace(DataConfig(str(at.tokenizer), made, str(at.codec)), **changes)


def test_sources_are_opened_with_their_vocabulary(at):
    held_out = (Source(str(at.spoken), split="held_out"),)
    sources = open_sources(config(at, (at.spoken, Arrangement.INTERLEAVED), (at.texts, Arrangement.TEXT), validation=held_out))
    assert sources.vocabulary == Vocabulary(TextTokenizer.load(at.tokenizer).size, 32)
    assert [(feed.name, len(feed.rows)) for feed in sources.train] == [("0-interleaved", 4), ("1-text", 4)]
    assert [(feed.name, len(feed.rows)) for feed in sources.validation] == [("2-interleaved", 4)]
    assert sources.tokenizer.decode(sources.arranger.asr_marker_ids) == "transcript:"


def test_without_a_codec_the_shards_tell_the_speech(at):
    assert open_sources(config(at, (at.spoken, Arrangement.SPEECH), codec=None)).vocabulary.units == 32
    assert open_sources(config(at, (at.texts, Arrangement.TEXT), (at.spoken, Arrangement.SPEECH), codec=None)).vocabulary.units == 32
    assert not open_sources(config(at, (at.spoken, Arrangement.TEXT), codec=None)).vocabulary.has_speech


def test_finished_documents_are_read_too(at):
    (feed,) = open_sources(config(at, (at.frozen, Arrangement.INTERLEAVED))).train
    assert feed.rows[0].dtype == np.int32
    assert feed.rows[0][0] == 1


def test_another_tokenizer_is_refused_naming_both(at):
    prints = [TextTokenizer.load(folder).fingerprint for folder in (at.tokenizer, at.other_tokenizer)]
    with pytest.raises(UserError) as refused:
        open_sources(config(at, (at.spoken, Arrangement.SPEECH), tokenizer=str(at.other_tokenizer)))
    assert all(name in str(refused.value) for name in prints)


def test_another_encoder_is_refused_naming_both(at):
    prints = [EmbeddedCodec.load(folder).fingerprint for folder in (at.codec, at.other_codec)]
    with pytest.raises(UserError) as refused:
        open_sources(config(at, (at.spoken, Arrangement.SPEECH), codec=str(at.other_codec)))
    assert prints[0] != prints[1]
    assert all(name in str(refused.value) for name in prints)


@pytest.mark.parametrize("folder", ["nowhere", "tokenizer"])
def test_no_shards_there(at, folder):
    with pytest.raises(UserError, match=folder):
        open_sources(config(at, (at.spoken.parent / folder, Arrangement.SPEECH)))


def test_an_unknown_split(at):
    with pytest.raises(UserError, match="held_out, train"):
        open_sources(config(at, (at.spoken, Arrangement.SPEECH), validation=(Source(str(at.spoken), split="dev"),)))


def test_texts_cannot_be_transcribed(at):
    with pytest.raises(UserError, match="0-asr.*no record gives a document"):
        open_sources(config(at, (at.texts, Arrangement.ASR)))


def test_fewer_records_than_hosts(at):
    with pytest.raises(UserError, match="one for each of 5 hosts"):
        open_sources(config(at, (at.spoken, Arrangement.SPEECH)), hosts=5)


def test_an_empty_source():
    with pytest.raises(UserError, match="0 records"):
        check_feed(Feed("empty", []), ARRANGER)
    check_feed(Feed("one", [make_record(0, 3)]), ARRANGER)
