import contextlib
import fcntl
import json

import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.model_io.resumable_folder import JOURNAL, resumable
from tests.model_io.folders.llama_folders import listing

DESCRIPTION = {"source": "a"}


class Killed(BaseException):
    """Stands for a signal."""


def is_ours(folder) -> bool:
    return (folder / "mark").exists()


def interrupt(out, *keys):
    with contextlib.suppress(Killed), resumable(out, DESCRIPTION, is_ours) as (partial, done):
        (partial / "half").touch()
        for key in keys:
            done.add(key)
        raise Killed


def test_a_folder_appears_whole_and_an_earlier_attempt_is_resumed(tmp_path):
    interrupt(tmp_path / "out", "one", "two")
    assert not (tmp_path / "out").exists()
    with resumable(tmp_path / "out", DESCRIPTION, is_ours) as (partial, done):
        assert "one" in done
        assert "two" in done
        assert "three" not in done
        (partial / "mark").touch()
        done.add("three")
        assert not (tmp_path / "out").exists()
    assert listing(tmp_path) == ["out", "out/half", "out/mark"]


def test_another_description_starts_from_scratch(tmp_path):
    interrupt(tmp_path / "out", "one")
    with resumable(tmp_path / "out", {"source": "b"}, is_ours) as (partial, done):
        assert "one" not in done
        assert listing(partial) == [JOURNAL]


def test_a_line_that_was_cut_off_does_not_count_and_the_next_is_kept(tmp_path):
    interrupt(tmp_path / "out", "one", "two")
    journal = tmp_path / ".out.partial" / JOURNAL
    journal.write_text(journal.read_text()[:-3])
    interrupt(tmp_path / "out", "three")
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert lines == [DESCRIPTION, "one", "three"]


def test_files_that_were_being_written_are_removed(tmp_path):
    interrupt(tmp_path / "out", "one")
    (tmp_path / ".out.partial/.config.json.x.partial").mkdir()
    with resumable(tmp_path / "out", DESCRIPTION, is_ours) as (partial, _):
        assert listing(partial) == sorted([JOURNAL, "half"])


def test_only_what_is_ours_is_replaced_and_only_at_the_end(tmp_path):
    out = tmp_path / "out"
    for _ in range(2):
        with resumable(out, DESCRIPTION, is_ours) as (partial, _):
            assert not out.exists() or is_ours(out)
            (partial / "mark").touch()
    interrupt(out)
    assert listing(out) == ["mark"], "an interruption leaves the old one"
    (out / "mark").unlink()
    with (
        pytest.raises(UserError, match="exists, and this command did not write it"),
        resumable(out, DESCRIPTION, is_ours),
    ):
        pass
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(UserError, match="exists, and this command"), resumable(file, DESCRIPTION, is_ours):
        pass
    assert file.read_text() == "mine"


def test_two_processes_do_not_write_one_target(tmp_path):
    interrupt(tmp_path / "out", "one")
    with open(tmp_path / ".out.partial" / JOURNAL, "a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        for description in (DESCRIPTION, {"source": "b"}):
            with (
                pytest.raises(UserError, match="is being written by another process"),
                resumable(tmp_path / "out", description, is_ours),
            ):
                pass
    assert (tmp_path / ".out.partial/half").exists()
