import gzip
import tarfile

import fsspec
import pyarrow
import pytest

from spirit_jax.core import stored_files
from spirit_jax.core.errors import UserError

LINES = b"one\ntwo\n" * 1000


def compress(path, content):
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(content))
    else:
        path.write_bytes(pyarrow.compress(content, "zstd", asbytes=True))
    return path


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_compressed_lines_and_those_that_are_cut(tmp_path, suffix):
    path = compress(tmp_path / f"a.txt{suffix}", LINES)
    lines = list(stored_files.stream_lines(path, "text"))
    assert (lines[0], lines[-1]) == ((1, b"one\n"), (2000, b"two\n"))
    assert b"".join(line for _, line in lines) == LINES
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match="is damaged after line"):
        list(stored_files.stream_lines(path, "text"))
    path.write_bytes(b"not compressed at all\n")
    with pytest.raises(UserError, match="is damaged after line 0"):
        list(stored_files.stream_lines(path, "text"))


def test_files_written_one_after_the_other_are_read_to_the_end(tmp_path):
    for suffix in (".gz", ".zst"):
        path = compress(tmp_path / f"a{suffix}", b"one\n")
        path.write_bytes(path.read_bytes() * 2)
        assert [line for _, line in stored_files.stream_lines(path, "text")] == [b"one\n", b"one\n"]


def test_addresses(tmp_path):
    assert (
        stored_files.url_of("s3://bucket/a/b") == stored_files.url_of("s3:/bucket/a/b") == "s3://bucket/a/b"
    )
    assert stored_files.url_of("/a/b:/c") is None
    assert stored_files.url_of("a.tar::b") is None
    assert stored_files.join("s3:/bucket/dir", "x.wav") == "s3://bucket/dir/x.wav"
    assert stored_files.join("s3:/bucket/dir", "/x.wav") == "/x.wav"
    assert stored_files.join(tmp_path, "gs://b/x.wav") == "gs://b/x.wav"
    assert stored_files.join(tmp_path, "x.wav") == str(tmp_path / "x.wav")
    assert [stored_files.bare_name(name) for name in ("d/a.jsonl", "a.jsonl.gz", "a.b.txt")] == [
        "a",
        "a",
        "a.b",
    ]
    assert [stored_files.format_suffix(name) for name in ("a.TXT", "a.JSONL.zst", "a")] == [
        ".txt",
        ".jsonl",
        "",
    ]


def test_a_file_in_an_object_store():
    with fsspec.open("memory://bucket/a.txt", "wb") as file:
        file.write(LINES)
    assert len(list(stored_files.stream_lines("memory:/bucket/a.txt", "text"))) == 2000
    with stored_files.local_copy("memory://bucket/a.txt") as path:
        assert path.read_bytes() == LINES
    assert not path.exists()
    for address, message in (
        ("memory://bucket/none", "no such file"),
        ("nosuchstore://bucket/a", "cannot be opened"),
    ):
        with pytest.raises(UserError, match=message):
            stored_files.open_stored(address)


def test_a_member_of_a_tar(tmp_path):
    (tmp_path / "x.wav").write_bytes(b"sound")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(tmp_path / "x.wav", "dir/x.wav")
    address = f"{tmp_path}/a.tar::dir/x.wav"
    with stored_files.local_copy(address) as path:
        assert (path.suffix, path.read_bytes()) == (".wav", b"sound")
    assert not path.exists()
    with pytest.raises(FileNotFoundError), stored_files.local_copy(f"{tmp_path}/a.tar::dir/y.wav"):
        pass
    assert stored_files.stamp_of(address) == stored_files.stamp_of(tmp_path / "a.tar")
    assert stored_files.stamp_of(tmp_path / "x.wav")[0] == 5
    assert stored_files.stamp_of(tmp_path / "none") is None
