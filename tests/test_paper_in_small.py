"""A miniature of `make paper-in-small`: corpus, stories, two arms with one seed, the page; nothing twice."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.verbs import ROOT

SMALL = ["PAPER_UTTERANCES=120", "SENTENCES=400", "STORIES=12", "TEXT_SET=train.steps=20"]
SET = "PAPER_SET=seeds=[0] records=6 run.train.steps=30 run.checkpoint.every_steps=10"


def run_paper(folder: Path) -> subprocess.CompletedProcess:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("XLA_", "MAKE"))}
    places = [f"PAPER={folder / 'made'}", f"PAPER_PAGE={folder / 'paper.md'}", f"VENV={sys.prefix}"]
    command = ["make", "paper-in-small", *places, *SMALL, SET, "ARMS=interleaved expressive"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_comparison_runs_and_reports(tmp_path):
    done = run_paper(tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    page = (tmp_path / "paper.md").read_text()
    assert "| interleaved (Base) | 0." in page
    assert "| interleaved (Expressive) | 0." in page
    assert "en-gb-scotland+m1" in page
    for name in ("choice", "alignment"):
        assert (tmp_path / f"paper/{name}.svg").stat().st_size > 1000
    assert sorted(path.name for path in (tmp_path / "made/arms").iterdir()) == [
        "expressive-0",
        "interleaved-0",
    ]
    again = run_paper(tmp_path)
    assert again.returncode == 0
    assert not [line for line in again.stdout.splitlines() if " eval " in line or "data_prep" in line]
    assert (tmp_path / "paper.md").read_text() == page
