"""Which layout is recognised, and files that are compressed or in an object store."""

import gzip
import json

import fsspec
import pyarrow
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.datasets.manifest import open_corpus, read_corpus, stream_texts
from tests.datasets.corpora.files import put_audio, put_jsonl, put_text

ROWS = ({"audio": "a.wav", "text": "spoken"}, {"text": "written"})
CONTENT = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def compressed(suffix, content=CONTENT):
    if suffix == ".gz":
        return gzip.compress(content)
    return pyarrow.compress(content, "zstd", asbytes=True) if suffix == ".zst" else content


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_compressed_manifest_is_as_a_plain_one(tmp_path, suffix):
    path = tmp_path / f"list.jsonl{suffix}"
    path.write_bytes(compressed(suffix))
    for given in (path, tmp_path):
        corpus = open_corpus(given)
        spoken, written = corpus.rows
        assert (spoken["id"], spoken["audio"], spoken["source"]) == ("a", str(tmp_path / "a.wav"), "list")
        assert (written["id"], corpus.layout) == ("list-000002", "manifest")
        assert [row["text"] for row in stream_texts(given)] == ["written"]


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_compressed_text_is_as_a_plain_one(tmp_path, suffix):
    path = tmp_path / f"t.txt{suffix}"
    path.write_bytes(compressed(suffix, b"one\ntwo\n"))
    assert [(row["id"], row["text"]) for row in read_corpus(path)] == [("t", "one\ntwo\n")]
    assert [row["id"] for row in stream_texts(path, lines=True)] == ["t-000000", "t-000001"]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_manifest_that_was_cut_is_refused(tmp_path, suffix):
    rows = b"".join(b'{"text": "%d"}\n' % number for number in range(5000))
    path = tmp_path / f"m.jsonl{suffix}"
    path.write_bytes(compressed(suffix, rows)[:-20])
    with pytest.raises(UserError, match="is damaged after line"):
        open_corpus(path)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_manifest_and_its_recordings_in_an_object_store(tmp_path, suffix):
    with fsspec.open(f"memory://bucket/m.jsonl{suffix}", "wb") as file:
        file.write(compressed(suffix))
    address = tmp_path.__class__(f"memory://bucket/m.jsonl{suffix}")  # as the command line makes it
    spoken, written = read_corpus(address)
    assert (spoken["audio"], spoken["id"], written["text"]) == ("memory://bucket/a.wav", "a", "written")
    assert [row["text"] for row in stream_texts(address)] == ["written"]
    with pytest.raises(UserError, match="no such file"):
        open_corpus(tmp_path.__class__("memory://bucket/none.jsonl"))


def test_a_folder_of_several_manifests(tmp_path):
    put_jsonl(tmp_path / "a.jsonl", *ROWS)
    put_jsonl(tmp_path / "b.jsonl", *ROWS)
    with pytest.raises(UserError, match="name the manifest"):
        open_corpus(tmp_path)
    put_jsonl(tmp_path / "manifest.jsonl", *ROWS[:1])
    assert len(read_corpus(tmp_path)) == 1


def test_our_manifest_goes_before_other_layouts(tmp_path):
    put_text(tmp_path / "wav.scp", "r1 r1.wav\n")
    put_jsonl(tmp_path / "other.jsonl", *ROWS)
    assert open_corpus(tmp_path).layout == "Kaldi folder"
    put_jsonl(tmp_path / "manifest.jsonl", *ROWS)
    assert open_corpus(tmp_path).layout == "manifest"


def test_a_folder_of_recordings_is_not_mistaken_for_a_layout(tmp_path):
    put_audio(tmp_path / "a.wav")
    put_text(tmp_path / "a.txt", "said")
    put_text(tmp_path / "train.tsv", "id\tother\n")
    corpus = open_corpus(tmp_path)
    assert (corpus.layout, corpus.rows[0]["text"]) == ("folder of recordings", "said")
