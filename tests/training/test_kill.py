"""Killing a training process with SIGKILL at random moments, and starting it again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from spirit_jax.config import MeshConfig
from spirit_jax.core.paths import AnyPath
from spirit_jax.model.checkpoint import finished_steps
from spirit_jax.model.llama import abstract
from spirit_jax.runs.checkpoints import Checkpoints
from spirit_jax.sharding import make_mesh
from spirit_jax.training.optimizer import make_optimizer
from spirit_jax.training.state import abstract_state
from tests.training.tiny import make_config

STEPS, EVERY, KILLS = 3000, 50, 20
ROOT = Path(__file__).parents[2]


def start(out: Path) -> subprocess.Popen:
    flags = {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "",
        "JAX_COMPILATION_CACHE_DIR": str(out.parent / "compiled"),
    }
    command = [sys.executable, "-m", "tests.training.interrupted", str(out), str(STEPS), str(EVERY), "1"]
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **flags}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def latest(out: Path) -> int:
    return max(finished_steps(out / "checkpoints"), default=0)


def last_logged(out: Path) -> int:
    path = out / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return max((json.loads(line)["step"] for line in lines if line.endswith("}")), default=0)


def steps_of(out: Path) -> list[dict]:
    rows = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return [row for row in rows if "loss" in row]


def final_state(out: AnyPath, steps: int = STEPS):
    config = make_config(steps)
    mesh = make_mesh(MeshConfig(1, 1, 1), jax.devices()[:1])
    with Checkpoints(out / "checkpoints", config.checkpoint) as checkpoints:
        assert checkpoints.latest == steps
        shapes = abstract_state(abstract(config.model, mesh), make_optimizer(config.optim, steps), mesh)
        return checkpoints.restore(shapes, ["stream_0-of-1"])


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_as_if_nothing_had_happened(tmp_path):
    rng = np.random.default_rng(int(os.environ.get("KILL_SEED", "0")))
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    assert start(whole).wait(900) == 0
    for kill in range(KILLS):
        before, process = latest(killed), start(killed)
        if kill % 3:  # some time after a new checkpoint; else anywhere, also while starting
            while latest(killed) == before and process.poll() is None:
                time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.25 if kill % 3 else 6.0))
        assert process.poll() is None, "it was too fast to be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert latest(killed) >= before, "a finished checkpoint was lost"
        assert last_logged(killed) - latest(killed) <= EVERY, "more than an interval was lost"
    assert start(killed).wait(900) == 0
    (state, position), (expected, expected_position) = final_state(killed), final_state(whole)
    assert position == expected_position
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    rows, whole_rows = (steps_of(out) for out in (killed, whole))
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1)), "each step is logged once"
    assert [row["loss"] for row in rows] == [row["loss"] for row in whole_rows]


@pytest.mark.slow
def test_sigterm_is_a_clean_end(tmp_path):
    process = start(tmp_path / "run")
    while latest(tmp_path / "run") == 0:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(300) == 0
    reached = latest(tmp_path / "run")
    assert EVERY // 2 <= reached < STEPS, "saves begin at half intervals"
    assert last_logged(tmp_path / "run") == reached, "saved where it stopped"
