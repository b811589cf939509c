"""The golden data, and how near an array must be to a golden one.

The data is in $SPIRIT_GOLDEN, by default ../shared/golden/dev, with the folder `real` next to it.
Tests take every size from the data, so that another set passes unchanged. Where it isn't there they are
skipped, visibly.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("SPIRIT_GOLDEN") or ROOT.parent / "shared/golden/dev")
REAL = FOLDER.parent / "real"
TOLERANCE = 2e-4  # of the golden array's largest magnitude


def require(*names: str) -> Path:
    """The golden set's folder; skips the test unless it holds `names`."""
    return _require(FOLDER, names)


def require_real(*names: str) -> Path:
    """The folder with the real utterance; skips the test unless it holds `names`."""
    return _require(REAL, names)


def load_json(name: str, folder: Path = FOLDER) -> dict:
    """A golden JSON file; skips the test if it isn't there."""
    return json.loads((_require(folder, (name,)) / name).read_text(encoding="utf-8"))


def assert_close(array: np.ndarray, expected: np.ndarray, what: str, tolerance: float = TOLERANCE) -> None:
    """Equal shapes, and no element off by more than `tolerance` of the largest expected one."""
    array, expected = np.asarray(array), np.asarray(expected)
    assert array.shape == expected.shape, f"{what}: shape {array.shape}, expected {expected.shape}"
    error, largest = (np.abs(values).max(initial=0) for values in (array - expected, expected))
    assert error <= tolerance * largest, (
        f"{what}: error {error:.1e}, allowed {tolerance:.0e} of the largest value, {largest:.1e}"
    )


def assert_row(units_T: np.ndarray, released_T: np.ndarray, classes_T: np.ndarray, blank: int) -> None:
    """A row's units are those of the published release from its first class on that isn't blank; before it,
    that one fills from another row.
    """
    first = np.argmax(classes_T != blank) if (classes_T != blank).any() else len(classes_T)
    np.testing.assert_array_equal(units_T[first:], released_T[first:])


def _require(folder: Path, names: tuple[str, ...]) -> Path:
    missing = [name for name in names or (".",) if not (folder / name).exists()]
    if missing:
        pytest.skip(f"no golden data {missing[0]} in {folder}: set SPIRIT_GOLDEN", allow_module_level=True)
    return folder
