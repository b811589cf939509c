"""Training by two processes on this machine, joined by `jax.distributed`."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.model.checkpoint import finished_steps
from spirit_jax.runs.processes import join_processes
from tests.training.test_kill import last_logged, latest

ROOT = Path(__file__).parents[2]


def start(out: Path, steps: int, every: int, count: int) -> list[subprocess.Popen]:
    """`count` processes of one run with two streams, a device each."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    processes = []
    for index in range(count):
        flags = {
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": "",
            "JAX_COMPILATION_CACHE_DIR": str(out.parent / "compiled"),
        }
        if count > 1:
            flags |= {
                "JAX_COORDINATOR_ADDRESS": address,
                "JAX_NUM_PROCESSES": str(count),
                "JAX_PROCESS_ID": str(index),
            }
        command = [sys.executable, "-m", "tests.training.interrupted", str(out), str(steps), str(every), "2"]
        log = open(out.with_name(f"{out.name}-{steps}-{index}.log"), "w")  # noqa: SIM115
        processes.append(
            subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **flags}, stdout=subprocess.PIPE, stderr=log, text=True
            )
        )
    return processes


def finish(processes: list[subprocess.Popen]) -> list[list[int]]:
    """Waits; the streams that each has read."""
    printed = [process.communicate(timeout=900)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return [json.loads(text.splitlines()[0]) for text in printed]


def rows_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_give_the_curve_of_one_and_one_goes_on_where_they_stopped(tmp_path):
    two, one = tmp_path / "two", tmp_path / "one"
    assert finish(start(two, 6, 4, 2)) == [[0], [1]], "each reads its own records"
    assert finish(start(one, 9, 4, 1)) == [[0, 1]]
    assert {path.name for path in (two / "checkpoints/6/data").glob("*.json")} == {
        "bits.json",
        "stream_0-of-2.json",
        "stream_1-of-2.json",
    }
    finish(start(two, 9, 4, 1))
    rows, expected = rows_of(two), rows_of(one)
    training = [row["step"] for row in rows if "loss" in row]
    assert training == list(range(1, 10))
    evaluated = {row["step"]: row["validation_loss"] for row in rows if "validation_loss" in row}
    assert evaluated.keys() == {6, 9}
    expected = {row["step"]: row for row in expected if "loss" in row}
    for row in (row for row in rows if "loss" in row):
        assert row["tokens"] == expected[row["step"]]["tokens"]
        assert row["loss"] == pytest.approx(expected[row["step"]]["loss"], rel=1e-5)


@pytest.mark.slow
def test_a_notice_to_one_process_makes_both_save_and_leave(tmp_path):
    out = tmp_path / "run"
    processes = start(out, 100_000, 50, 2)
    while latest(out) == 0 and all(process.poll() is None for process in processes):
        time.sleep(0.05)
    processes[1].send_signal(signal.SIGTERM)
    finish(processes)
    assert finished_steps(out / "checkpoints")[-1] == last_logged(out), "saved where it stopped"


@pytest.mark.parametrize(("name", "value"), [("JAX_NUM_PROCESSES", "two"), ("JAX_PROCESS_ID", "-1")])
def test_settings_that_are_no_numbers_are_named(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=f"{name} = {value}"):
        join_processes()


def test_processes_that_know_nothing_of_each_other_are_told_what_to_set(monkeypatch):
    for name in ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match=r"--distributed = .*did not find each other"):
        join_processes()
