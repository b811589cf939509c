"""The benchmarks start: nothing else calls what they import."""

import importlib
import importlib.util
from pathlib import Path

import pytest

APART = {"compare_abx": "fastabx"}  # what another Python runs, and the package it needs
FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_it_imports(name):
    if name in APART and importlib.util.find_spec(APART[name]) is None:
        pytest.skip(f"{APART[name]} needs an environment of its own")
    assert importlib.import_module(f"benchmarks.{name}").__doc__
