"""Runs whose folder is in a bucket, or on a mount that refuses to rename folders."""

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

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json
from spirit_jax.datasets.shards import open_shards
from spirit_jax.model.checkpoint import finished_steps, load_model
from spirit_jax.model_io.exporting import export_llama
from spirit_jax.model_io.verification import verify
from tests.training.test_command import train as train_command
from tests.training.test_kill import ROOT, final_state

STEPS, EVERY, KILLS, LEAST_KILLS = 1000, 40, 10, 5


def steps_of(out) -> list[int]:
    """The steps of the rows of metrics."""
    rows = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return [row["step"] for row in rows if "loss" in row]


@pytest.mark.slow
def test_a_run_in_a_bucket_has_all_that_a_run_on_a_disk_has(at, bucket, tmp_path):
    """Trained by the command, resumed, loaded and exported."""
    out = bucket / "runs/first"
    settings = ("checkpoint.every_steps=1",)
    assert train_command(at, tmp_path / "disk", *settings) == 0
    assert train_command(at, out, *settings, "train.steps=1") == 0
    assert train_command(at, out, *settings) == 0
    assert {path.name for path in out.iterdir()} == {path.name for path in (tmp_path / "disk").iterdir()}
    assert finished_steps(out / "checkpoints") == finished_steps(tmp_path / "disk/checkpoints")
    assert read_json(out / "data.json") == read_json(tmp_path / "disk/data.json")
    there, here = load_model(out), load_model(tmp_path / "disk")
    for a, b in zip(jax.tree.leaves(there.llama), jax.tree.leaves(here.llama), strict=True):
        np.testing.assert_array_equal(a, b)
    assert there.codec_path == out / "codec"
    export_llama(out, tmp_path / "exported")
    assert not verify(out, tmp_path / "exported").tensors
    assert train_command(at, out, *settings, "optim.peak_lr=0.5") == 2


def test_weights_codec_and_tokenizer_are_read_from_a_bucket(at, bucket, tmp_path):
    out = bucket / "runs/first"
    assert train_command(at, out, "train.steps=1") == 0
    settings = (f"data.codec={out}/codec", f"data.tokenizer={out}", f"checkpoint.init_from={out}")
    assert train_command(at, tmp_path / "run", *settings, "train.steps=1") == 0


def test_shards_in_a_bucket_are_refused_with_the_fix(bucket):
    with pytest.raises(UserError, match=r"shards = gs://.*must be on this machine.*gcloud storage cp"):
        open_shards(str(bucket / "shards"))


def start(out, environment: dict[str, str], compiled: Path, mount: bool = False) -> subprocess.Popen:
    """A process that trains a tiny run, killed or not."""
    flags = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "", "JAX_COMPILATION_CACHE_DIR": str(compiled)}
    module = (
        ["tests.storages.flat_mount", "tests.training.interrupted"]
        if mount
        else ["tests.training.interrupted"]
    )
    command = [sys.executable, "-m", *module, str(out), str(STEPS), str(EVERY), "1"]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment, **flags},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_ended(process: subprocess.Popen) -> None:
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said


def assert_same(out, whole) -> None:
    """Weights, optimizer and position in the data are equal to the bit, and each step is logged once."""
    (state, position), (expected, expected_position) = final_state(out, STEPS), final_state(whole, STEPS)
    assert position == expected_position
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    assert steps_of(out) == list(range(1, STEPS + 1))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run on a disk that nobody interrupted, and the folder of compiled programs."""
    folder = tmp_path_factory.mktemp("whole")
    assert_ended(start(folder / "run", {}, folder / "compiled"))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("where", ["bucket", "mount"])
def test_killed_at_moments_it_ends_as_if_nothing_had_happened(where, cloud, whole, tmp_path, request):
    """Ten times, or until it has ended: some time after a new checkpoint began; a third of the times
    anywhere, also while it starts.
    """
    rng = np.random.default_rng(int(os.environ.get("KILL_SEED", "0")))
    out = request.getfixturevalue("bucket") / "run" if where == "bucket" else tmp_path / "run"
    environment, mount = (cloud, False) if where == "bucket" else ({}, True)
    for kill in range(KILLS):
        before, process = (
            finished_steps(out / "checkpoints"),
            start(out, environment, whole / "compiled", mount),
        )
        if kill % 3:
            while finished_steps(out / "checkpoints") == before and process.poll() is None:
                time.sleep(0.05)
        time.sleep(rng.uniform(0, 0.5 if kill % 3 else 8.0))
        if process.poll() is not None and kill >= LEAST_KILLS:  # a fast machine ends before the tenth
            assert_ended(process)
            break
        assert process.poll() is None, f"it was too fast to be killed: {process.communicate()}"
        process.send_signal(signal.SIGKILL)
        process.communicate()
        after = finished_steps(out / "checkpoints")
        assert max(after, default=0) >= max(before, default=0), "a finished checkpoint was lost"
        logged = steps_of(out) if (out / "metrics.jsonl").exists() else [0]
        assert max(logged, default=0) >= max(after, default=0), "rows before a checkpoint were lost"
    assert_ended(start(out, environment, whole / "compiled", mount))
    assert_same(out, whole / "run")
