"""Where the golden data is: $SPIRIT_GOLDEN, by default ../shared/golden/dev, with the folder `real` beside
it.

Tests take every size from the data, so that another set passes unchanged. Where it isn't there they are
skipped, visibly.
"""

import json
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("SPIRIT_GOLDEN") or ROOT.parent / "shared/golden/dev")
REAL = FOLDER.parent / "real"


def require(*names: str) -> Path:
    """The golden set's folder; skips the test unless it holds `names`."""
    return _require(FOLDER, names)


def require_real(*names: str) -> Path:
    """The folder with the real utterance; skips the test unless it holds `names`."""
    return _require(REAL, names)


def load_json(name: str, folder: Path = FOLDER) -> dict:
    """A golden JSON file; skips the test if it isn't there."""
    return json.loads((_require(folder, (name,)) / name).read_text(encoding="utf-8"))


def _require(folder: Path, names: tuple[str, ...]) -> Path:
    missing = [name for name in names or (".",) if not (folder / name).exists()]
    if missing:
        pytest.skip(f"no golden data {missing[0]} in {folder}: set SPIRIT_GOLDEN", allow_module_level=True)
    return folder
