"""The benchmarks start: nothing else calls what they import."""

import importlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_it_imports(name):
    assert importlib.import_module(f"benchmarks.{name}").__doc__
