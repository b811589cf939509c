"""Progress in a log. On a terminal it is tqdm's bar."""

import pytest

from spirit_jax.core import progress
from spirit_jax.core.progress import Progress, track


def printed(capsys) -> list[str]:
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("every_s", [0.0, 1e9])
def test_the_last_count_is_printed_once(capsys, monkeypatch, every_s):
    monkeypatch.setattr(progress, "LOG_EVERY_S", every_s)
    with Progress("train", 4, "step") as shown:
        shown.advance(1, "loss 2.0")
        shown.advance(3)
    lines = printed(capsys)
    assert [line.split(",")[0] for line in lines] == (
        ["train: 1/4 step", "train: 4/4 step"] if every_s == 0 else ["train: 4/4 step"]
    )
    assert lines[-1].endswith("0 s left loss 2.0")


def test_items_pass_unchanged_and_nothing_done_is_not_printed(capsys):
    assert list(track([], "empty")) == []
    assert printed(capsys) == []
    assert list(track(iter("abc"), "letters")) == ["a", "b", "c"]
    assert printed(capsys)[-1].startswith("letters: 3 it, ")
