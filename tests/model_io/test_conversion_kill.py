"""Conversions that are killed with SIGKILL and started again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from spirit_jax.config import ModelConfig
from spirit_jax.model_io.foreign_folders import open_foreign_folder
from spirit_jax.model_io.names import model_tensors
from spirit_jax.model_io.resumable_folder import JOURNAL
from tests.model_io.folders.llama_folders import tensors, write_folder
from tests.model_io.folders.tokenizer_folders import write_sentencepiece

ROOT = Path(__file__).parents[2]
CFG = ModelConfig(rows=340, width=128, layers=12, heads=4, kv_heads=2, head_width=32, mlp_width=256)


def convert(*words) -> subprocess.Popen:
    command = [sys.executable, "-m", "spirit_jax", "convert", *map(str, words)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill_after(lines: int, out: Path, *words) -> bool:
    """Kills a conversion when its journal has so many lines. False if it had finished before."""
    journal, process = out.with_name(f".{out.name}.partial") / JOURNAL, convert(*words)
    while process.poll() is None and not (journal.is_file() and journal.read_text().count("\n") >= lines):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def finish(out: Path, moments: tuple[int, ...], *words) -> None:
    for lines in moments:
        if kill_after(lines, out, *words):
            assert not out.exists(), "complete or absent"
    assert convert(*words).wait() == 0
    assert not list(out.parent.glob(".*")), "nothing is left over"


@pytest.mark.slow
def test_killed_conversions_end_as_if_nothing_had_happened(tmp_path):
    source = write_folder(tmp_path / "source", tensors(CFG, "bfloat16"), CFG, shards=3)
    write_sentencepiece(source)
    whole, killed, total = tmp_path / "whole", tmp_path / "killed", len(model_tensors(CFG))
    assert convert("import", source, whole).wait() == 0
    finish(killed, (1, total // 3, total, total + 1), "import", source, killed)
    assert convert("export", whole, tmp_path / "out").wait() == 0
    finish(tmp_path / "killed out", (1, 2), "export", killed, tmp_path / "killed out")
    one, other = (open_foreign_folder(tmp_path / name).tensors for name in ("out", "killed out"))
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        np.testing.assert_array_equal(tensor.read(slice(None)), other[name].read(slice(None)))
