import pytest

from spirit_jax.core import growing_file
from spirit_jax.core.growing_file import open_growing


@pytest.fixture
def uploads(monkeypatch):
    """The sizes of the objects that are written; every write fails while the list holds a "down"."""
    from etils import epath

    sizes, write = [], epath.Path.write_bytes

    def note(path, content):
        if "down" in sizes:
            raise OSError("unreachable")
        sizes.append(len(content))
        return write(path, content)

    monkeypatch.setattr(type(epath.Path("gs://x")), "write_bytes", note)
    return sizes


def test_an_object_grows_and_is_continued(bucket):
    for content in (b"one\n", b"two\n"):
        grown = open_growing(bucket / "a")
        grown.add(content)
        grown.close()
    assert (bucket / "a").read_bytes() == b"one\ntwo\n"


def test_an_object_is_written_once_in_a_while_and_when_flushed(bucket, monkeypatch, uploads):
    now = [0.0]
    monkeypatch.setattr(growing_file.time, "monotonic", lambda: now[0])
    grown = open_growing(bucket / "a")
    for _ in range(130):
        now[0] += 1.0
        grown.add(b"x")
    assert uploads == [60, 120]
    grown.flush()
    grown.flush()
    assert uploads == [60, 120, 130], "not again without news"


def test_what_cannot_be_written_is_kept(bucket, uploads, capsys):
    grown = open_growing(bucket / "a")
    grown.add(b"one")
    uploads.append("down")
    for _ in range(3):
        grown.flush()
    assert capsys.readouterr().err.count("cannot be written (unreachable)") == 1
    uploads.clear()
    grown.add(b"two")
    grown.close()
    assert (bucket / "a").read_bytes() == b"onetwo"
