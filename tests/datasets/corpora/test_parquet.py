import pyarrow
import pyarrow.parquet
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.datasets.manifest import open_corpus, stream_texts
from tests.datasets.corpora.files import put_audio, put_text


def put_parquet(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def test_texts_of_parquet_files(tmp_path):
    texts = [f"text {number}\n" for number in range(2500)]
    ids, languages = list(range(2500)), ["en"] * 2500
    path = put_parquet(tmp_path / "a.parquet", text=texts, id=ids, url=texts, language=languages)
    corpus = open_corpus(path)
    assert [row["text"] for row in corpus.rows] == texts
    last = corpus.rows[-1]
    assert (last["id"], last["language"], last["split"], last["source"]) == ("2499", "en", "text", "a")
    assert "url" not in last
    assert corpus.describe_layout() == "parquet (ignored: 1 url)"
    assert [row["text"] for row in stream_texts(path)] == texts


def test_a_folder_of_parquet_files_and_rows_that_cannot_be_used(tmp_path):
    put_parquet(tmp_path / "b.parquet", text=["three"])
    put_parquet(tmp_path / "a.parquet", text=["one", None, " ", "two"], split=[None, None, None, "not good"])
    put_text(tmp_path / "README.md", "x")
    corpus = open_corpus(tmp_path)
    assert [row["text"] for row in corpus.rows] == ["one", "three"]
    assert [(row["reason"], row["line"]) for row in corpus.set_aside] == [
        ("bad_row", 2),
        ("bad_row", 3),
        ("bad_row", 4),
    ]


def test_a_table_beside_recordings_is_no_corpus(tmp_path):
    put_audio(tmp_path / "wav/a.wav")
    put_parquet(tmp_path / "durations.parquet", seconds=[1.0])
    assert open_corpus(tmp_path).layout == "folder of recordings"


def test_a_file_without_texts_and_a_damaged_one_are_refused(tmp_path):
    with pytest.raises(UserError, match="has no column text, but content"):
        open_corpus(put_parquet(tmp_path / "a.parquet", content=["x"]))
    path = put_parquet(tmp_path / "a.parquet", text=["x"] * 100)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match="is damaged after row 0"):
        open_corpus(path)
