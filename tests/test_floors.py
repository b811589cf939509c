"""The house stands: imports run downward only."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {
    "core": 0,
    "tokens": 1,
    "config": 2,
    "sharding": 3, "datasets": 3, "speech": 3,
    "model": 4, "model_io": 4,
    "runs": 5, "generation": 5,
    "training": 6, "codec_training": 6, "data_prep": 6,
    "pod_check": 7, "evals": 7, "report": 8, "tpu_configs": 8,
    "cli": 9, "__main__": 10,
}  # fmt: skip
STRANGERS = [("speech", "model"), ("model", "speech"), ("tokens", "speech"), ("training", "generation")]
FILES = [
    path
    for folder in ("spirit_jax", "data_prep", "tpu_configs")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def room_of(dotted: str) -> str | None:
    parts = dotted.split(".")
    if parts[0] in ("data_prep", "tpu_configs"):
        return parts[0]
    return parts[1] if parts[0] == "spirit_jax" and len(parts) > 1 else None


def imports_of(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_downward(path):
    here = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    for name in imports_of(path):
        there = room_of(name)
        if here in (None, "__init__") or there is None or there == here:
            continue
        assert there in FLOORS, f"{name} is in no room that FLOORS names"
        assert FLOORS[there] <= FLOORS[here], (
            f"{path} ({here}, floor {FLOORS[here]}) imports {name} (floor {FLOORS[there]})"
        )
        assert (here, there) not in STRANGERS, f"{path}: {here} must not know {there}"
        assert not (path.is_relative_to(ROOT / "spirit_jax") and there in ("data_prep", "tpu_configs")), (
            f"{path} imports {there}"
        )


def test_the_test_can_fail():
    assert room_of("spirit_jax.model.llama") == "model"
    assert room_of("spirit_jax.speech.codec") == "speech"
    assert FLOORS["speech"] < FLOORS["model"]
    assert len(FILES) > 10
