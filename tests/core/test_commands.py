"""Errors of a command are one line and an exit code."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from spirit_jax.core import commands

FULL = "RESOURCE_EXHAUSTED: Out of memory allocating 60 bytes."


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (NotADirectoryError(20, "Not a directory", "there"), 2, "Not a directory: 'there'"),
        (OSError(28, "No space left", "there"), 1, "No space left: 'there'"),
        (RuntimeError(f"{FULL}\nat some line"), 1, f"out of memory ({FULL})"),
        (MemoryError("no space for 60 GiB"), 1, "out of memory (no space for 60 GiB)"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_errors_of_the_system_are_one_line(monkeypatch, capsys, error, code, message):
    def fail(args):
        raise error

    module = SimpleNamespace(add_arguments=lambda parser: None, run=fail)
    monkeypatch.setitem(sys.modules, "failing", module)
    assert commands.run("x", "", {"fail": ("failing", "fails")}, ["fail"]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_commands_that_end_without_an_error_add_their_seconds(monkeypatch, tmp_path):
    def run(args):
        if args.out == Path("wrong"):
            raise KeyboardInterrupt
        return 75 if args.out else None

    module = SimpleNamespace(add_arguments=lambda parser: parser.add_argument("--out", type=Path), run=run)
    monkeypatch.setitem(sys.modules, "timed", module)
    times = tmp_path / "new/stages.jsonl"
    for words in (["--out", "folder/a"], ["--out", "wrong"], []):
        commands.run("python -m x", "", {"work": ("timed", "")}, ["work", *words, "--stage-log", str(times)])
    lines = [json.loads(line) for line in times.read_text().splitlines()]
    assert [(line["command"], line["out"]) for line in lines] == [("x work", "a"), ("x work", None)]
    assert all(0 <= line["seconds"] < 5 for line in lines)
