"""The table of benchmarks and the page about it."""

import re

import pytest

from spirit_jax.evals.benchmarks import DATA_SETS
from tests.verbs import ROOT

PAGE = (ROOT / "docs/evaluation.md").read_text()


@pytest.mark.parametrize("name", DATA_SETS)
def test_the_page_has_a_row_with_the_papers_figures(name):
    (row,) = re.findall(rf"^\| `{name}` \|[^|]*\|([^|]*)\|([^|]*)\|", PAGE, re.MULTILINE)
    figures = tuple(float(cell) for cell in row if cell.strip())
    paper = DATA_SETS[name].paper or ()
    known = [paper.get(model) for model in ("base", "expressive")] if isinstance(paper, dict) else paper
    assert figures == tuple(figure for figure in known if figure is not None)


@pytest.mark.parametrize("name", DATA_SETS)
def test_every_data_set_says_where_it_is_and_where_to_get_it(name):
    place = DATA_SETS[name].place
    assert place.folders
    assert place.shape
    assert "https://" in place.source
