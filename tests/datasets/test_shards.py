"""Reading shards. tests/data_prep/shards/test_token_shards.py tests what is written."""

import dataclasses
import pickle

import numpy as np
import pytest

from data_prep.shards.contents import Contents
from data_prep.shards.token_shards import write_shards
from spirit_jax.core.errors import UserError
from spirit_jax.datasets.shards import (
    Layout,
    Metadata,
    check_compatible,
    find_version,
    open_shards,
    record_from_row,
    row_from_record,
)
from spirit_jax.tokens.interleave import Record
from spirit_jax.tokens.streams import PUBLISHED_EXPRESSIVE, unit_stream
from spirit_jax.tokens.text import train_tokenizer
from spirit_jax.tokens.vocabulary import Vocabulary
from tests.speech_codes import make_speech, make_vocabulary

ARRANGED = (
    ("one two", "three", "four five six"),
    ("two one", "three", "four five six"),
    ("one two", "three"),
)
STREAMS = PUBLISHED_EXPRESSIVE
METADATA = Metadata(Layout.ALIGNED, make_vocabulary(300, 20), "tok-made", "enc-made")


def write(root, layout=Layout.ALIGNED, texts=("one two", "three", "four five six")):
    """The folder of shards of texts."""
    (root / "t.txt").write_text("\n".join(texts))
    tokenizer = train_tokenizer(["one two three four five six"], 275, root / "tokenizer.model")
    metadata = Metadata(layout, make_vocabulary(tokenizer.size, 20), tokenizer.fingerprint, "enc")
    write_shards(Contents(metadata, tokenizer, None, (root / "t.txt",), lines=True), root / "out")
    return root / "out"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three texts in both configs."""
    root = tmp_path_factory.mktemp("shards")
    return [write(root, layout) for layout in Layout][0]


def make_record(**changes) -> Record:
    speech = make_speech(np.arange(9) % 4, np.arange(4), np.arange(1))
    times = np.array([0.0, 0.2], np.float32)
    record = Record(
        "a",
        "source",
        "voice",
        speech,
        np.array([5, 6, 7], np.int32),
        np.array([0, 1, 3], np.int32),
        times,
        times + 0.1,
    )
    return dataclasses.replace(record, **changes)


NO_TIMES = {"word_start_s": np.zeros(0, np.float32), "word_end_s": np.zeros(0, np.float32)}


@pytest.mark.parametrize(
    "changes", [{}, {"speech": None, **NO_TIMES}, NO_TIMES, {"speech": make_speech(np.arange(3))}]
)
def test_a_row_gives_its_record_back(changes):
    record = make_record(**changes)
    row = {
        name: value.encode() if isinstance(value, str) else value
        for name, value in row_from_record(record, "five six", STREAMS).items()
    }
    again = record_from_row(row, STREAMS)
    assert (again.id, again.source, again.voice, again.aligned) == (
        record.id,
        record.source,
        record.voice,
        record.aligned,
    )
    assert (again.speech is None) == (record.speech is None)
    pairs = [
        (getattr(again, name), getattr(record, name))
        for name in ("text_ids", "word_offsets", "word_start_s", "word_end_s")
    ]
    if record.speech is not None:
        assert again.speech.codes.keys() == record.speech.codes.keys()
        pairs += [(again.speech.codes[name], codes) for name, codes in record.speech.codes.items()]
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "below", ["", "spirit_tokens", "spirit_tokens/aligned", "spirit_tokens/aligned/1.0.0"]
)
def test_any_folder_down_to_the_version_opens(folder, below):
    assert find_version(folder / below) == folder / "spirit_tokens" / "aligned" / "1.0.0"


def test_the_config_chooses_the_layout(folder):
    assert isinstance(open_shards(folder, "aligned", "text")[0], Record)
    document = open_shards(folder, Layout.INTERLEAVED, "text")[0]
    assert isinstance(document, np.ndarray)
    with pytest.raises(UserError, match="no interleaved"):
        open_shards(folder / "spirit_tokens" / "aligned", "interleaved", "text")


def test_a_split_is_a_sequence_that_can_be_pickled(folder):
    split = open_shards(folder, split="text")
    assert len(split) == len(list(split)) == 3
    with pytest.raises(IndexError):
        split[3]
    assert pickle.loads(pickle.dumps(split))[2].id == split[2].id


def test_the_fingerprint_differs_for_other_rows_of_the_same_sizes(folder, tmp_path):
    prints = [open_shards(write(tmp_path, texts=texts), split="text").fingerprint for texts in ARRANGED]
    assert prints[0] == open_shards(folder, split="text").fingerprint
    assert len(set(prints)) == len(ARRANGED)


def test_missing_splits_and_folders_are_named(folder, tmp_path):
    with pytest.raises(UserError, match="split = train.*has text"):
        open_shards(folder)
    for missing in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match=str(missing)):
            open_shards(missing)
    (tmp_path / "dataset_info.json").write_text("{}")
    with pytest.raises(UserError, match="not a spirit_tokens data set"):
        open_shards(tmp_path)


def test_other_formats_are_refused():
    with pytest.raises(UserError, match="this version reads"):
        Metadata.from_dict({**METADATA.to_dict(), "format": 3})


def test_shards_of_the_earlier_format_are_read():
    counts = {"text_size": 300, "units": 20, "pitches": 0, "styles": 0, "bos": 1, "eos": 2, "unk": 0}
    rates = {"units": 25.0, "pitch": 12.5, "style": 1.0}
    earlier = {**METADATA.to_dict(), "format": 1, "vocabulary": counts, "rates": rates}
    assert Metadata.from_dict(earlier) == METADATA
    del earlier["whole_text"]
    assert Metadata.from_dict(earlier) == dataclasses.replace(METADATA, whole_text=False)


def test_readers_of_other_streams_are_refused_naming_both():
    """Also where only a rate differs: times and merging count on it."""
    fast = Vocabulary(300, (unit_stream(20, 50.0),))
    for made, reader in (
        (METADATA, fast),
        (dataclasses.replace(METADATA, vocabulary=fast), METADATA.vocabulary),
    ):
        with pytest.raises(UserError, match=r"vocabulary = .*made with") as error:
            check_compatible(made, reader)
        assert "50.0" in str(error.value)
        assert "25.0" in str(error.value)


GOOD = [
    {"vocabulary": make_vocabulary(300, 20)},
    {"vocabulary": make_vocabulary(300, 501, 64, 100)},
    {"vocabulary": Vocabulary.text_only(300)},
    {"tokenizer_fingerprint": "tok-made", "encoder_fingerprint": "enc-made"},
    {"encoder_fingerprint": None},
    {},
]
BAD = [
    ({"vocabulary": make_vocabulary(301, 20)}, ["301", "300"]),
    ({"vocabulary": make_vocabulary(300, 19)}, ["19", "20"]),
    ({"vocabulary": make_vocabulary(300, 20, eos=7)}, ["7", "2"]),
    ({"tokenizer_fingerprint": "tok-mine"}, ["tok-mine", "tok-made"]),
    ({"encoder_fingerprint": "enc-mine"}, ["enc-mine", "enc-made"]),
]


@pytest.mark.parametrize("reader", GOOD)
def test_readers_that_fit(reader):
    check_compatible(METADATA, **reader)


@pytest.mark.parametrize(("reader", "named"), BAD)
def test_readers_that_do_not_fit_are_refused_naming_both(reader, named):
    with pytest.raises(UserError) as error:
        check_compatible(METADATA, **reader)
    assert all(name in str(error.value) for name in named)


def test_frozen_ids_need_the_very_same_vocabulary():
    frozen = dataclasses.replace(METADATA, layout=Layout.INTERLEAVED)
    check_compatible(frozen, make_vocabulary(300, 20))
    with pytest.raises(UserError, match="vocabulary"):
        check_compatible(frozen, make_vocabulary(300, 21))


def test_a_part_of_a_split_has_some_of_its_rows(tmp_path):
    out = write(tmp_path, texts=[f"one two {number}" for number in range(20)])
    whole, part = open_shards(out, split="text"), open_shards(out, split="text[:25%]")
    assert (len(whole), len(part)) == (20, 5)
    assert [one.id for one in part] == [whole[index].id for index in range(5)]
    assert part.fingerprint not in (whole.fingerprint, open_shards(out, split="text[25%:50%]").fingerprint)


@pytest.mark.parametrize("split", ["text[:many]", "text[", "other[:10%]"])
def test_a_part_that_is_none_is_refused(folder, split):
    with pytest.raises(UserError, match="split"):
        open_shards(folder, split=split)
