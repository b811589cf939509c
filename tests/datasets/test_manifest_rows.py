"""Keys of a manifest's rows, parts and channels."""

import pytest

from spirit_jax.datasets.manifest import (
    open_corpus,
    part_of,
    read_corpus,
    text_of,
    timed_words,
)
from tests.datasets.corpus_files import put_manifest


def test_words_with_times_are_the_text(tmp_path):
    words = [["a", 0.0, 0.1], ["b,", 0.1, 0.3], ["c", 0.1, 0.3]]
    (row,) = read_corpus(
        put_manifest(tmp_path / "m.jsonl", {"id": "1", "audio": "x.wav", "text": "A b c", "words": words})
    )
    assert timed_words(row) == ["a", "b,", "c"]
    assert text_of(row) == "a b, c"


def test_the_split_of_a_row_follows_from_what_it_has(tmp_path):
    timed = {"audio": "a.wav", "words": [["hi", 0, 1]]}
    rows = read_corpus(
        put_manifest(tmp_path / "m.jsonl", timed, {"audio": "b.wav", "text": " \n"}, {"text": "c"})
    )
    assert [(row["split"], row["text"]) for row in rows] == [("train", None), ("speech", None), ("text", "c")]
    (unnamed,) = read_corpus(put_manifest(tmp_path / "m.jsonl", {"audio": "."}))
    assert unnamed["id"] == "."


def test_keys_with_two_names_are_one_thing(tmp_path):
    rows = [
        {"audio": "a.wav", "speaker": "anna", "style": "whisper", "license": "CC0", "language": "en"},
        {"audio": "b.wav", "voice": "anna", "speaker": "anna", "speaking_style": "laughing"},
        {"audio": "c.wav", "style": [3, 1], "speaker": None},
        {"audio": "d.wav", "voice": "anna", "speaker": "ben"},
        {"audio": "e.wav", "language": 3},
    ]
    corpus = open_corpus(put_manifest(tmp_path / "m.jsonl", *rows))
    first, second, codes = corpus.rows
    assert (first["voice"], first["speaking_style"], first["licence"]) == ("anna", "whisper", "CC0")
    assert first["language"] == "en"
    assert not {"speaker", "style", "license"} & (first.keys() | second.keys())
    assert (second["voice"], second["speaking_style"]) == ("anna", "laughing")
    assert (codes["voice"], codes["style"]) == ("", [3, 1])
    assert [row["line"] for row in corpus.set_aside] == [4, 5]
    assert {row["reason"] for row in corpus.set_aside} == {"bad_row"}


def test_unknown_keys_are_kept(tmp_path):
    (row,) = read_corpus(put_manifest(tmp_path / "m.jsonl", {"audio": "a.wav", "noise": ["a dog barks"]}))
    assert row["noise"] == ["a dog barks"]


def test_words_without_times_make_a_row_unaligned_and_are_counted(tmp_path):
    words = [["in", 0.1, 0.2], ["1984", None, None], ["it", 0.5, 0.6]]
    rows = [
        {"audio": "a.wav", "words": words},
        {"audio": "b.wav", "text": "In 1984 it.", "words": words},
        {"audio": "c.wav", "words": words[:1]},
    ]
    corpus = open_corpus(put_manifest(tmp_path / "m.jsonl", *rows))
    assert [(row["text"], row["words"]) for row in corpus.rows] == [
        ("in 1984 it", None),
        ("In 1984 it.", None),
        (None, words[:1]),
    ]
    assert {row["split"] for row in corpus.rows} == {"train"}
    assert (corpus.untimed, corpus.set_aside) == (2, [])


def test_parts_of_a_recording_have_their_ids_and_times(tmp_path):
    rows = [
        {"audio": "talk.flac", "offset": 0, "duration": 2.0, "text": "a"},
        {"audio": "talk.flac", "offset": 2.0, "duration": 2, "text": "b"},
        {"audio": "talk.flac", "start": 4.0, "end": 5.5, "text": "c"},
        {"audio": "talk.flac", "start": 5.5, "text": "d"},
        {"audio": "talk.flac", "start": 1, "end": 3, "duration": 2, "id": "mine", "text": "e"},
        {"audio": "whole.flac", "duration": 6.0, "text": "f"},
        {"audio": "plain.flac", "offset": None, "text": "g"},
    ]
    read = read_corpus(put_manifest(tmp_path / "m.jsonl", *rows))
    ids = ["talk#1", "talk#2", "talk#3", "talk#4", "mine", "whole", "plain"]
    assert [row["id"] for row in read] == ids
    parts = [(0.0, 2.0), (2.0, 2.0), (4.0, 1.5), (5.5, None), (1.0, 2.0), None, None]
    assert [part and part[:2] for part in map(part_of, read)] == parts


@pytest.mark.parametrize(
    "times",
    [
        {"offset": -1.0},
        {"offset": "0:02"},
        {"offset": 1.0, "duration": 0},
        {"start": 2.0, "end": 1.0},
        {"duration": float("nan")},
        {"offset": 1.0, "start": 2.0},
        {"start": 1.0, "end": 3.0, "duration": 1.0},
        {"offset": True},
        {"channel": -1},
        {"channel": "left"},
    ],
)
def test_impossible_parts_are_set_aside(tmp_path, times):
    rows = {"audio": "a.wav", "text": "x"}, {"audio": "a.wav", "text": "x", "id": "bad", **times}
    (bad,) = open_corpus(put_manifest(tmp_path / "m.jsonl", *rows)).set_aside
    assert (bad["id"], bad["reason"], bad["line"]) == ("bad", "bad_part", 2)


def test_channels_of_a_recording_are_rows(tmp_path):
    rows = [{"audio": "a.wav", "channel": 0}, {"audio": "a.wav", "channel": 1, "offset": 2.0}]
    read = read_corpus(put_manifest(tmp_path / "m.jsonl", *rows))
    assert [row["id"] for row in read] == ["a#1", "a#2"]
    assert [part_of(row) for row in read] == [(0.0, None, 0), (2.0, None, 1)]
