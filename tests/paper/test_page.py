"""The page: tables and findings of what is finished, as Markdown that is narrow."""

import re

import pytest

from spirit_jax.paper.arm_runs import plan_runs
from spirit_jax.paper.figures import draw_choices, draw_probes, draw_shares, write_figure
from spirit_jax.paper.page import share_points, write_page
from spirit_jax.paper.results import read_arms
from tests.paper.arms import make_experiment
from tests.paper.finished import write_corpus, write_run

EXPERIMENT = make_experiment()
REACHED = {"interleaved": 0.9, "no_interleaving": 0.55, "aligned_5": 0.7, "pairs": 0.6}


@pytest.fixture
def arms(tmp_path):
    runs = plan_runs(EXPERIMENT, EXPERIMENT.arms, tmp_path)
    for run in runs:
        if run.arm.name in REACHED:
            write_run(run, REACHED[run.arm.name], 0.3, rise=REACHED[run.arm.name] - 0.5)
    return read_arms(runs)


def page_of(arms, tmp_path, remarks=""):
    return write_page(EXPERIMENT, arms, write_corpus(tmp_path / "corpus.jsonl"), "make it", "paper", remarks)


def test_every_tabled_arm_has_a_row_with_its_interval(arms, tmp_path):
    page = page_of(arms, tmp_path)
    row = next(line for line in page.splitlines() if line.startswith("| interleaved (Base) | "))
    assert len(re.findall(r"0\.\d{3} \[\d\.\d{3}, \d\.\d{3}\]", row)) == 8
    assert "| ASR + TTS | 0." in page
    assert "| interleaved, 5%" not in page.replace("| 5% | ", "")


def test_it_says_what_was_run_where_and_when(arms, tmp_path):
    page = page_of(arms, tmp_path)
    assert "| 2026-01-02 | abc1234 | a CPU, 2 cores; cpu | 8 | 0.80 | 1.0 to 1.0 |" in page
    assert "```\nmake it\n```" in page
    assert "seeds of each: 2" in page
    assert f"{EXPERIMENT.tokens:,} tokens" in page
    assert "0.5 h of speech by 1 espeak-ng voices" in page


def test_points_of_the_aligned_shares_are_in_order(arms, tmp_path):
    assert [one.arm.aligned for one in share_points(arms)] == [0.0, 0.05, 1.0]
    assert page_of(arms, tmp_path).index("| 0% |") < page_of(arms, tmp_path).index("| 100% |")


def test_without_arms_of_shares_their_section_is_left_out(arms, tmp_path):
    del arms["aligned_5"]
    assert "figure 3" not in page_of(arms, tmp_path)


def test_remarks_are_kept(arms, tmp_path):
    assert "## Remarks\n\nIt differs.\n\n## Choice" in page_of(arms, tmp_path, "It differs.\n")


def test_prose_is_narrow(arms, tmp_path):
    lines = page_of(arms, tmp_path).splitlines()
    assert not [line for line in lines if len(line) > 100 and not line.startswith("|")]


def test_figures_are_svg_and_repeat(arms, tmp_path):
    for number, make in enumerate((draw_choices, draw_probes, lambda some: draw_shares(share_points(some)))):
        paths = [tmp_path / side / f"{number}.svg" for side in ("a", "b")]
        for path in paths:
            write_figure(make(arms), path)
        first, again = (path.read_bytes() for path in paths)
        assert first == again
        assert b"<svg" in first
