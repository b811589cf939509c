"""The benchmarks start: nothing else calls what they import. The loader's makes its data set."""

import importlib
import importlib.util
from pathlib import Path

import pytest

from spirit_jax.datasets.shards import Layout

APART = {"compare_abx": "fastabx"}  # what another Python runs, and the package it needs
FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_it_imports(name):
    if name in APART and importlib.util.find_spec(APART[name]) is None:
        pytest.skip(f"{APART[name]} needs an environment of its own")
    assert importlib.import_module(f"benchmarks.{name}").__doc__


def test_both_loaders_read_the_data_set_that_is_made(tmp_path):
    from benchmarks import bench_loader as bench

    splits = bench.write(tmp_path, Layout.ALIGNED, list(bench.make_rows(6, 6)))
    assert {name: len(split) for name, split in splits.items()} == {"speech": 6, "text": 6}
    assert next(bench.load_plainly(splits)) == bench.LENGTH * bench.ROWS
    assert 0.9 * bench.LENGTH * bench.ROWS < next(bench.load(splits)) <= bench.LENGTH * bench.ROWS
