"""Folders of arms as if they had been run: scores of each item, drawn around a value for each task."""

from pathlib import Path

import numpy as np

from spirit_jax.core.files import write_json, write_jsonl
from spirit_jax.paper.arm_runs import TASKS, ArmRun

ITEMS, LAYERS = 60, 3
ABOUT = {
    "date": "2026-01-02",
    "processor": "a CPU",
    "cores": 2,
    "device": "cpu",
    "load": 1.0,
    "commit": "abc1234",
    "seconds": 360.0,
}


def write_run(run: ArmRun, accuracy: float, error_rate: float, rise: float = 0.0) -> None:
    """All choices have about the accuracy, all transcripts the error rate; the probe rises in layer 1."""
    rng = np.random.default_rng([run.seed, *run.arm.name.encode()])
    for name, tasks in TASKS.items():
        for task in tasks:
            folder = run.folder / f"{name}_scores"
            if task == "alignment":
                write_jsonl(folder / f"{task}.jsonl", _probes(rise))
            elif task.startswith("wer"):
                write_jsonl(folder / f"{task}.jsonl", _transcripts(rng, error_rate))
            else:
                for direction in ("t", "s", "t2s", "s2t"):
                    write_jsonl(folder / f"{task}_{direction}.jsonl", _choices(rng, accuracy))
    write_json(run.folder / "done.json", ABOUT)


def write_corpus(path: Path) -> Path:
    """A manifest of two spoken sentences and a text."""
    said = [("train", "en-us+m3", 1800.0), ("heldout_voice", "en-gb-scotland+m1", 2.0), ("text", "", None)]
    rows = [
        {"split": split, "voice": voice, "audio": seconds and "a.wav", "duration_s": seconds}
        for split, voice, seconds in said
    ]
    write_jsonl(path, rows)
    return path


def _choices(rng: np.random.Generator, accuracy: float) -> list[dict]:
    return [{"item": str(item), "win": float(rng.random() < accuracy)} for item in range(ITEMS)]


def _transcripts(rng: np.random.Generator, rate: float) -> list[dict]:
    return [{"id": f"r{i}", "errors": int(rng.binomial(10, rate)), "words": 10} for i in range(ITEMS)]


def _probes(rise: float) -> list[dict]:
    same = [0.1, 0.1 + rise, 0.1]
    return [{"id": f"r{i}", "words": 8, "same": same, "other": [0.1] * LAYERS} for i in range(ITEMS)]
