import os
from pathlib import Path

import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.datasets.corpus import find_repeated
from spirit_jax.datasets.manifest import (
    open_corpus,
    read_corpus,
    stream_corpus,
)
from tests.datasets.corpus_files import put_audio, put_manifest


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".opus"])
@pytest.mark.parametrize("transcript", [".txt", ".lab"])
def test_a_folder_of_recordings_with_transcripts_of_the_same_name(tmp_path, suffix, transcript):
    put_audio(tmp_path / "a" / f"one{suffix}").with_suffix(transcript).write_text(" hello\n there ")
    put_audio(tmp_path / f"two{suffix}")
    one, two = read_corpus(tmp_path)
    assert (one["id"], one["text"], one["words"], one["split"]) == ("a/one", "hello there", None, "train")
    assert (two["id"], two["text"], two["split"]) == ("two", None, "speech")
    assert one["audio"] == str(tmp_path / "a" / f"one{suffix}")


def test_librispeech(tmp_path):
    chapter = tmp_path / "84" / "121123"
    put_audio(chapter / "84-121123-0000.flac")
    put_audio(chapter / "84-121123-0001.flac")
    (chapter / "84-121123.trans.txt").write_text(
        "84-121123-0000 GO DO YOU HEAR\n84-121123-0001 BUT IN LESS\n"
    )
    rows = read_corpus(tmp_path)
    assert [(row["text"], row["voice"]) for row in rows] == [("GO DO YOU HEAR", "84"), ("BUT IN LESS", "84")]


def test_sphinx(tmp_path):
    for name in ("001", "002"):
        put_audio(tmp_path / f"{name}.wav")
    (tmp_path / "cards.transcription").write_text("<s> ten of clubs  </s> (001)\nqueen of hearts (002)\n")
    assert [row["text"] for row in read_corpus(tmp_path)] == ["ten of clubs", "queen of hearts"]


def test_a_folder_with_a_manifest_and_paths_relative_to_it(tmp_path):
    put_manifest(
        tmp_path / "list.jsonl",
        {"audio": "wav/x.wav", "text": "hi"},
        {"id": "t", "text": "alone"},
        {"audio": "/abs/y.flac"},
    )
    spoken, text, untranscribed = read_corpus(tmp_path)
    assert (spoken["id"], spoken["audio"], spoken["split"], spoken["source"]) == (
        "wav/x",
        str(tmp_path / "wav/x.wav"),
        "train",
        "list",
    )
    assert (text["audio"], text["split"]) == (None, "text")
    assert (untranscribed["id"], untranscribed["split"], untranscribed["text"]) == ("/abs/y", "speech", None)


def test_a_transcript_that_is_not_utf8_is_a_defect_of_its_row(tmp_path):
    put_audio(tmp_path / "a.wav").with_suffix(".txt").write_bytes(b"\xff\xfe\x00\xd8")
    put_audio(tmp_path / "good.wav")
    corpus = open_corpus(tmp_path)
    assert [row["id"] for row in corpus.rows] == ["good"]
    assert [(row["id"], row["reason"]) for row in corpus.set_aside] == [("a", "transcript_not_utf8")]


def test_a_name_that_is_not_utf8_is_a_defect_of_its_row(tmp_path):
    put_audio(tmp_path / "a.wav").rename(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav")))
    with pytest.raises(UserError, match="name has the byte 0xe9"):
        read_corpus(tmp_path)
    put_audio(tmp_path / "good.wav")
    (row,) = open_corpus(tmp_path).set_aside
    assert (row["id"], row["audio"]) == (r"caf\xe9", rf"{tmp_path}/caf\xe9.wav")
    assert row["reason"] == "name_not_utf8"
    assert row["detail"] == "its name has the byte 0xe9, which is not UTF-8"


BAD_ROWS = [
    ({"id": "x"}, "neither audio nor text"),
    ([1], "JSON object"),
    ({"id": 3, "text": "x"}, "id = 3"),
    ({"text": ["x"]}, "text = ['x']"),
    ({"text": "x", "words": [["x", 0.2]]}, "start s, end s"),
    ({"text": "x", "words": [["x", 0.2, 0.1]]}, "start s, end s"),
    ({"text": "x", "words": [["x", -0.2, 0.1]]}, "start s, end s"),
    ({"text": "x", "words": [["x", 0.0, float("nan")]]}, "start s, end s"),
    ({"text": "x", "words": [["x", 0, 10**400]]}, "start s, end s"),
    ({"text": "x y", "words": [["x", 0.5, 0.6], ["y", 0.1, 0.2]]}, "in order"),
    ({"text": "x", "words": "x 0 1"}, "start s, end s"),
    *(
        ({"text": "x", "split": split}, "letters, digits")
        for split in ("../up", "train[:5]", "a+b", "two words", "all")
    ),
]


@pytest.mark.parametrize(("row", "rule"), BAD_ROWS)
def test_a_bad_row_is_set_aside_with_its_line(tmp_path, row, rule):
    path = put_manifest(tmp_path / "m.jsonl", {"id": "good", "text": "x"}, row)
    corpus = open_corpus(path)
    assert [kept["id"] for kept in corpus.rows] == ["good"]
    (bad,) = corpus.set_aside
    assert bad["line"] == 2
    assert f"{path} line 2" in bad["detail"]
    assert rule in bad["detail"]
    with pytest.raises(UserError, match="no other row can be used") as error:
        read_corpus(put_manifest(path, row, row))
    assert rule in str(error.value)


def test_the_second_row_of_an_id_is_set_aside_and_names_both(tmp_path):
    rows = ({"id": id, "text": text} for id, text in zip("aba", "xyz"))
    corpus = open_corpus(put_manifest(tmp_path / "m.jsonl", *rows))
    assert [(row["id"], row["text"]) for row in corpus.rows] == [("a", "x"), ("b", "y")]
    (bad,) = corpus.set_aside
    assert (bad["id"], bad["reason"], bad["line"]) == ("a", "duplicate_id", 3)
    assert "line 1 and of" in bad["detail"]
    assert "line 3" in bad["detail"]


def test_recordings_that_differ_in_their_suffix_alone(tmp_path):
    for name in ("a.wav", "a.flac", "b.wav"):
        put_audio(tmp_path / name)
    (tmp_path / "a.txt").write_text("both")
    assert [(row["id"], row["text"]) for row in read_corpus(tmp_path)] == [
        ("a.flac", "both"),
        ("a.wav", "both"),
        ("b", None),
    ]


def test_byte_order_marks_line_ends_and_upper_case(tmp_path):
    put_audio(tmp_path / "UP.WAV")
    (tmp_path / "UP.TXT").write_bytes("\ufeffone\r\ntwo\r\n".encode())
    put_audio(tmp_path / "lab.wav").with_suffix(".txt").write_text(" \n")
    (tmp_path / "lab.lab").write_text("from the lab")
    put_audio(tmp_path / "1-2-3.wav")
    put_audio(tmp_path / "1-2-4.wav")
    (tmp_path / "1-2.trans.txt").write_bytes("\ufeff1-2-3\tTHREE\r\n\r\n1-2-4 caf".encode() + b"\xe9\r\n")
    corpus = open_corpus(tmp_path)
    assert {row["id"]: row["text"] for row in corpus.rows} == {
        "UP": "one two",
        "lab": "from the lab",
        "1-2-3": "THREE",
    }
    assert [row["id"] for row in corpus.set_aside] == ["1-2-4"]
    (tmp_path / "m.jsonl").write_bytes("\ufeff".encode() + b'{"id": "t", "text": "x"}\r\n')
    assert [row["id"] for row in read_corpus(tmp_path / "m.jsonl")] == ["t"]
    (tmp_path / "m.jsonl").write_bytes(b'{"text": "caf\xe9"}\n')
    with pytest.raises(UserError, match="line 1"):
        read_corpus(tmp_path / "m.jsonl")
    with pytest.raises(UserError, match="is a recording"):
        read_corpus(tmp_path / "UP.WAV")


def test_links_are_followed_and_circles_are_left_out(tmp_path):
    put_audio(tmp_path / "elsewhere" / "x.wav")
    folder = tmp_path / "folder"
    put_audio(folder / ".hidden" / "y.wav")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "circle").symlink_to(folder)
    (folder / "broken.wav").symlink_to(tmp_path / "nothing")
    assert [row["id"] for row in read_corpus(folder)] == ["broken", "link/x"]


def test_missing_and_empty_corpora(tmp_path):
    (tmp_path / "none.jsonl").write_text("")
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "nowhere", tmp_path / "empty", tmp_path / "none.jsonl"):
        with pytest.raises(UserError, match=path.name):
            read_corpus(path)


def test_a_line_that_is_no_json_is_set_aside_with_its_number_and_a_warning(tmp_path, capsys):
    path = tmp_path / "m.jsonl"
    path.write_text('{"id": "a", "text": "x"}\n\n{"id": "b", "te\n{"id": "c", "text": "y"}\n')
    assert [row["id"] for row in read_corpus(path)] == ["a", "c"]
    (bad,) = open_corpus(path).set_aside
    assert (bad["reason"], bad["line"]) == ("bad_json", 3)
    warning = capsys.readouterr().err
    assert "1 rows are set aside: 1 bad_json" in warning
    assert "line 3" in warning


def test_recordings_that_a_manifest_does_not_name_are_counted(tmp_path):
    for name in ("a.wav", "b/c.wav", "d.flac"):
        put_audio(tmp_path / name)
    put_manifest(tmp_path / "manifest.jsonl", {"audio": "a.wav", "text": "x"})
    assert open_corpus(tmp_path).describe_unread() == "2 .flac/.wav files are named by no row"
    assert open_corpus(tmp_path / "manifest.jsonl").describe_unread() == ""


@pytest.mark.parametrize(
    ("audio", "leaves"),
    [("../x.wav", True), ("a/../../x.wav", True), ("..", True), ("a/../x.wav", False), ("..x/y.wav", False)],
)
def test_a_path_that_leads_out_of_the_corpus_is_set_aside(tmp_path, audio, leaves):
    rows = [{"id": "one", "audio": audio}, {"id": "well", "audio": str(tmp_path.parent / "x.wav")}]
    corpus = open_corpus(put_manifest(tmp_path / "m.jsonl", *rows))
    assert [row["id"] for row in corpus.rows] == (["well"] if leaves else ["one", "well"])
    assert [bad["reason"] for bad in corpus.set_aside] == (["outside_corpus"] if leaves else [])


def test_a_stream_of_rows_is_the_corpus_with_its_second_ids(tmp_path):
    rows = [{"id": "a", "audio": "a.wav"}, {"id": 5, "audio": "b.wav"}, {"id": "a", "text": "again"}]
    path = put_manifest(tmp_path / "m.jsonl", *rows)
    usable, bad = zip(*stream_corpus(path))
    assert [row["id"] for row in usable if row] == ["a", "a"]
    assert [line["reason"] for line in bad if line] == ["bad_row"]
    corpus = open_corpus(path)
    assert [row for row in usable if row][:1] == list(corpus.rows)
    assert [line for line in bad if line] == corpus.set_aside[:1]


def test_repeated_keys_are_found():
    assert find_repeated(lambda: ["a", "b", "c"]) == []
    assert find_repeated(lambda: ["a", "b", "c", "b", "a", "b"]) == ["b", "a", "b"]
    assert find_repeated(list) == []
