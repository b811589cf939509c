"""Imports run downward only: from a room to rooms on lower floors."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {
    "core": 0,
    "tokens": 1,
    "config": 2, "pages": 2,
    "sharding": 3, "datasets": 3, "speech": 3,
    "model": 4,
    "model_io": 5, "runs": 5, "scoring": 5,
    "training": 6, "codec_training": 6, "data_prep": 6, "generation": 6,
    "pod_check": 7, "evals": 7, "serving": 7,
    "report": 8, "paper": 8,
    "tpu_configs": 9, "cli": 9, "__main__": 10,
}  # fmt: skip
SPEECH = {  # floors inside the room of speech
    "kernels": 0, "containers": 0, "codec_identity": 0,
    "weights": 1, "audio": 1,
    "segments": 2, "quantizers": 2,
    "encoders": 3, "decoders": 4,
    "stored_parts": 5, "codec": 6, "codec_folder": 7, "commands": 8,
}  # fmt: skip
STRANGERS = {("speech", "config"), ("model", "speech"), ("training", "generation")}
FILES = [
    path
    for folder in ("spirit_jax", "data_prep", "tpu_configs")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def room_of(dotted: str) -> str | None:
    """The room of a module: None outside the project and for the package itself."""
    parts = dotted.split(".")
    if parts[0] in ("data_prep", "tpu_configs"):
        return parts[0]
    if parts[0] != "spirit_jax" or parts[1:] in ([], ["__init__"]):
        return None
    return parts[1]


def imports_of(source: str) -> set[str]:
    """Dotted names of all that is imported, anywhere in the file."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno} imports relatively"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def mistakes(here: str, names: set[str]) -> list[str]:
    """What is wrong with a file of room `here` that imports `names`."""
    found = []
    for name in sorted(names):
        there = room_of(name)
        if there in (None, here):
            continue
        if there not in FLOORS:
            found.append(f"{name} is in no room of FLOORS")
        elif here not in ("data_prep", "tpu_configs") and there in ("data_prep", "tpu_configs"):
            found.append(f"the library must not import {name}")
        elif (here, there) in STRANGERS:
            found.append(f"{here} must not import {name}")
        elif FLOORS[there] >= FLOORS[here]:
            found.append(f"{here}, floor {FLOORS[here]}, imports {name}, floor {FLOORS[there]}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_downward(path):
    here = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    assert here is None or not mistakes(here, imports_of(path.read_text()))


def mistakes_in_speech(here: str, names: set[str]) -> list[str]:
    """What is wrong with a file of the part `here` of speech that imports `names`."""
    parts = sorted({name.split(".")[2] for name in names if name.startswith("spirit_jax.speech.")} - {here})
    return [
        f"speech.{here}, floor {SPEECH[here]}, imports speech.{there}, floor {SPEECH[there]}"
        for there in parts
        if SPEECH[there] >= SPEECH[here]
    ]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "spirit_jax/speech").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_imports_run_downward_inside_speech(path):
    part = path.relative_to(ROOT / "spirit_jax/speech").with_suffix("").parts[0]
    assert part == "__init__" or not mistakes_in_speech(part, imports_of(path.read_text()))


def test_a_wrong_import_inside_speech_is_found():
    (found,) = mistakes_in_speech("encoders", imports_of("from spirit_jax.speech.codec import Codec"))
    assert "speech.codec, floor 6" in found
    assert not mistakes_in_speech("codec", imports_of("from spirit_jax.speech.audio import load"))


@pytest.mark.parametrize(
    ("here", "line", "says"),
    [
        ("runs", "from spirit_jax.training.step import make_train_step", "floor 6"),
        ("training", "import spirit_jax.pod_check.check", "floor 7"),
        ("codec_training", "from spirit_jax.training.step import make_train_step", "floor 6"),
        ("speech", "from spirit_jax.config import RunConfig", "must not import"),
        ("model", "from spirit_jax.speech.codec import load", "must not import"),
        ("training", "def later():\n    from data_prep import stats", "the library must not"),
        ("training", "from spirit_jax.attic import chest", "no room"),
    ],
)
def test_a_wrong_import_is_found(here, line, says):
    (found,) = mistakes(here, imports_of(line))
    assert says in found


def test_right_imports_are_none_of_the_mistakes():
    lines = "import jax\nfrom spirit_jax.core.errors import UserError\n"
    assert not mistakes("tokens", imports_of(lines + "from spirit_jax.tokens.text import TextTokenizer"))
    assert len(FILES) > 100
