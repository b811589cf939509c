import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.datasets.manifest import open_corpus, part_of
from tests.datasets.corpora.files import put_jsonl, reasons_of

ROWS = (
    {"audio_filepath": "a.wav", "duration": 2.5, "text": "whole", "pred_text": "hole", "_item_id": 3},
    {"audio_filepath": "/abs/b.wav", "offset": 1.0, "duration": 2.0, "text": "part", "speaker": "s1"},
    {"audio_filepath": "/abs/b.wav", "offset": 3.0, "duration": 2.0, "text": "", "lang": "de"},
)


def test_a_nemo_manifest(tmp_path):
    corpus = open_corpus(put_jsonl(tmp_path / "train.json", *ROWS))
    whole, part, silent = corpus.rows
    assert (whole["id"], whole["audio"], whole["text"]) == ("a", str(tmp_path / "a.wav"), "whole")
    assert [part_of(row) for row in corpus.rows] == [None, (1.0, 2.0, None), (3.0, 2.0, None)]
    assert whole["duration"] == 2.5
    assert (part["id"], part["voice"], part["split"]) == ("/abs/b#1", "s1", "train")
    assert (silent["id"], silent["text"], silent["language"], silent["split"]) == (
        "/abs/b#2",
        None,
        "de",
        "speech",
    )
    assert corpus.describe_layout() == "NeMo manifest (ignored: 1 _item_id, 1 pred_text)"
    assert "pred_text" not in whole


def test_rows_of_other_columns_bad_times_and_duplicates_are_set_aside(tmp_path):
    bad = (
        {"audio": "c.wav", "text": "of another format"},
        {"audio_filepath": "d.wav", "offset": -1, "text": "before"},
        {"audio_filepath": "a.wav", "text": "again"},
        {"audio_filepath": ["e.wav"], "text": "two channels"},
    )
    corpus = open_corpus(put_jsonl(tmp_path / "m.jsonl", *ROWS, *bad))
    assert len(corpus.rows) == 3
    assert [(row["reason"], row["line"]) for row in corpus.set_aside] == [
        ("bad_row", 4),
        ("bad_part", 5),
        ("duplicate_id", 6),
        ("bad_row", 7),
    ]
    assert reasons_of(corpus)[2] == ("duplicate_id", "a")


def test_a_folder_of_one_nemo_manifest(tmp_path):
    put_jsonl(tmp_path / "any.jsonl", *ROWS)
    assert open_corpus(tmp_path).layout == "NeMo manifest"
    with pytest.raises(UserError, match="no other row can be used"):
        open_corpus(put_jsonl(tmp_path / "any.jsonl", {"audio_filepath": "", "text": "x"}))
