"""The table of benchmarks and the page about it."""

import re

import pytest

from spirit_jax.evals.benchmarks import BENCHMARKS
from tests.verbs import ROOT

PAGE = (ROOT / "docs/evaluation.md").read_text()


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_page_has_a_row_with_the_papers_figures(name):
    (row,) = re.findall(rf"^\| `{name}` \|.*\|(.*)\|(.*)\|$", PAGE, re.MULTILINE)
    figures = tuple(float(cell) for cell in row if cell.strip())
    assert figures == (BENCHMARKS[name].paper or ())


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_data_set_says_where_it_is_and_where_to_get_it(name):
    place = BENCHMARKS[name].layout.place
    assert place.folders
    assert place.shape
    assert "https://" in place.source
