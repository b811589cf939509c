"""Texts of a corpus: files, lines, and rows with words."""

import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.datasets.manifest import (
    open_corpus,
    read_corpus,
    stream_texts,
    text_of,
    timed_words,
    training_texts,
)
from tests.datasets.corpus_files import put_manifest

LAYOUT = "def f(x):\r\n\tif x:\n\n        return  x\u2028- é\n"


def test_a_text_that_cannot_be_cut_keeps_its_layout(tmp_path):
    words = [["def", 0.0, 0.1]]
    rows = read_corpus(
        put_manifest(
            tmp_path / "m.jsonl",
            {"id": "1", "text": LAYOUT},
            {"id": "2", "text": LAYOUT, "words": words},
            {"id": "3", "text": LAYOUT, "audio": "x.wav"},
        )
    )
    assert [text_of(row) for row in rows] == [LAYOUT] * 3
    assert [timed_words(row) for row in rows] == [None] * 3
    assert list(training_texts(rows)) == [LAYOUT] * 3


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_file_of_text_is_one_text_byte_for_byte(tmp_path, mark):
    (tmp_path / "t.txt").write_bytes(mark + LAYOUT.encode())
    (row,) = read_corpus(tmp_path / "t.txt")
    assert (row["id"], row["text"], row["audio"], row["split"]) == ("t", LAYOUT, None, "text")


def test_a_file_of_lines(tmp_path):
    (tmp_path / "t.txt").write_bytes(b"\xef\xbb\xbf one  two\r\n\n\tthree \xe2\x80\xa8\n four")
    rows = read_corpus(tmp_path / "t.txt", lines=True)
    assert [(row["id"], row["text"], row["audio"], row["split"]) for row in rows] == [
        ("t-000000", " one  two", None, "text"),
        ("t-000002", "\tthree \u2028", None, "text"),
        ("t-000003", " four", None, "text"),
    ]


def test_a_file_of_text_that_cannot_be_one_is_refused(tmp_path, monkeypatch):
    (tmp_path / "t.txt").write_bytes(b"caf\xe9\n")
    for lines in (False, True):
        with pytest.raises(UserError, match="UTF-8"):
            read_corpus(tmp_path / "t.txt", lines)
    (tmp_path / "t.txt").write_text("a line\n" * 10)
    monkeypatch.setattr("spirit_jax.datasets.text_files.LONGEST_TEXT", 50)
    with pytest.raises(UserError, match=r"70 bytes.*--lines"):
        read_corpus(tmp_path / "t.txt")
    assert len(read_corpus(tmp_path / "t.txt", lines=True)) == 10


def test_texts_can_be_read_one_by_one_and_those_that_break_a_rule_are_counted(tmp_path, capsys):
    rows = [{"text": "a"}, {"audio": "x.wav"}, 3, {"text": "b"}, 4]
    path = put_manifest(tmp_path / "m.jsonl", *rows)
    for given in (path, tmp_path):
        texts = stream_texts(given)
        assert next(texts)["text"] == "a"
        assert [row["text"] for row in texts] == ["b"]
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 2
    assert all("2 rows are set aside: 2 bad_json" in line and "line 3" in line for line in warnings)
    with pytest.raises(UserError, match=r"line 1.*no other row can be used"):
        list(stream_texts(put_manifest(path, 3, 4)))


def test_a_line_of_text_that_is_not_utf8_is_set_aside(tmp_path):
    (tmp_path / "t.txt").write_bytes(b"caf\xe9\nplain\n")
    corpus = open_corpus(tmp_path / "t.txt", lines=True)
    assert [row["text"] for row in corpus.rows] == ["plain"]
    assert [(row["reason"], row["line"]) for row in corpus.set_aside] == [("text_not_utf8", 1)]


def test_training_texts_hold_nothing_held_out():
    rows = [
        {"split": split, "text": split, "words": None, "audio": None}
        for split in ("train", "text", "heldout", "heldout_voice", "speech", "dev")
    ]
    assert list(training_texts(rows)) == ["train", "text", "speech"]
