"""Apache Beam writes the same rows in the same files as one process."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tensorflow_datasets as tfds

from data_prep.shards import shard_files
from data_prep.shards.card import CARD
from spirit_jax.core.files import read_json
from spirit_jax.datasets.shards import find_version
from tests.data_prep.conftest import prepare

if importlib.util.find_spec("apache_beam") is None:
    pytest.skip("Apache Beam is not installed", allow_module_level=True)

IN_THREADS = "--beam=--runner=DirectRunner"
TWO_PROCESSES = "--beam=--runner=DirectRunner --direct_running_mode=multi_processing --direct_num_workers=2"


def stored(folder) -> dict[str, list[bytes]]:
    """The bytes of all rows by split, in their order."""
    version = find_version(folder)
    sources = tfds.builder_from_directory(version).as_data_source()
    return {name: list(source.data_source) for name, source in sources.items()}


def files_of(folder) -> dict[str, list]:
    """Names of the files, and how many rows each has."""
    version = find_version(folder)
    info = read_json(version / "dataset_info.json")
    names = sorted(path.name for path in version.iterdir())
    return {"names": names, "lengths": [split["shardLengths"] for split in info["splits"]]}


def facts_of(folder) -> dict:
    facts = read_json(find_version(folder) / CARD)
    return {key: value for key, value in facts.items() if key != "made_with"}


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Two corpora of texts: some without ids, a held-out split with sentences of the training ones."""
    folder = tmp_path_factory.mktemp("texts")
    rows = [
        {"text": f"the old farmer number {n} slept\n" * (1 + n % 9), "licence": "CC0"} for n in range(500)
    ]
    rows += [
        {"id": f"h{n}", "text": f"The old farmer number {9 * n} slept", "split": "dev"} for n in range(5)
    ]
    rows.append({"id": "back\\slash", "text": "a\\b", "language": "en"})
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "b.txt").write_text("one line\nand another\n")
    return folder


@pytest.mark.parametrize("file_bytes", [2**27, 20_000, 1000])
@pytest.mark.parametrize("layout", ["aligned", "interleaved"])
def test_rows_and_files_are_those_of_one_process(stages, texts, tmp_path, monkeypatch, file_bytes, layout):
    monkeypatch.setattr(shard_files, "FILE_BYTES", file_bytes)
    options = [*map(str, stages.shard_options)]
    at = options.index("--texts") + 2
    options[at:at] = [str(texts / "a.jsonl"), str(texts / "b.txt")]
    options += ["--config", layout, "--draws", "2"]
    assert prepare("shards", *options, "--out", tmp_path / "here") == 0
    assert prepare("shards", *options, "--out", tmp_path / "beam", IN_THREADS) == 0
    assert stored(tmp_path / "here") == stored(tmp_path / "beam")
    assert files_of(tmp_path / "here") == files_of(tmp_path / "beam")
    assert len(files_of(tmp_path / "here")["names"]) > 12 or file_bytes > 20_000
    assert facts_of(tmp_path / "here") == facts_of(tmp_path / "beam")
    assert facts_of(tmp_path / "here")["rows_that_leak"] == 5


@pytest.mark.slow
def test_several_processes_write_the_same(stages, texts, tmp_path):
    options = (*stages.shard_options, "--out")
    assert prepare("shards", *options, tmp_path / "here") == 0
    assert prepare("shards", *options, tmp_path / "beam", TWO_PROCESSES) == 0
    assert stored(tmp_path / "here") == stored(tmp_path / "beam")
    assert facts_of(tmp_path / "here") == facts_of(tmp_path / "beam")


def test_two_rows_with_one_id_are_refused_before_anything_is_written(stages, tmp_path, capsys):
    path = tmp_path / "t.jsonl"
    path.write_text('{"id": "t", "text": "the cat"}\n' * 3)
    options = ("--texts", path, "--tokenizer", stages.tokenizer, "--out", tmp_path / "out")
    assert prepare("shards", *options, IN_THREADS) == 2
    assert "error: id = t: names two rows of split text; 2 ids do so" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["t.jsonl"]


def all_gone(processes, within_s):
    """Whether processes that were killed have ended; the system takes a moment."""
    for _ in range(10 * within_s):
        if not any(os.path.exists(f"/proc/{process}") for process in processes):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_a_killed_worker_ends_the_run_which_can_be_started_again(stages, tmp_path):
    path, out = tmp_path / "t.jsonl", tmp_path / "out"
    path.write_text(
        "".join(json.dumps({"text": f"the old farmer {n} slept " * 99}) + "\n" for n in range(9000))
    )
    options = ["--texts", path, "--tokenizer", stages.tokenizer, "--out", out]
    command = [sys.executable, "-m", "data_prep", "shards", *map(str, options), TWO_PROCESSES]
    log = tmp_path / "log"  # a pipe that nobody reads would stop the workers
    with open(log, "w") as file:
        run = subprocess.Popen(command, stderr=file)
    while not list(out.glob("spirit_tokens/.aligned.*.partial")):
        assert run.poll() is None
        time.sleep(0.1)
    while not (workers := workers_of(run.pid)):
        assert run.poll() is None
        time.sleep(0.1)
    os.kill(workers[-1], signal.SIGKILL)
    assert run.wait(timeout=300) == 1
    assert "error: the pipeline failed, see above: nothing is written" in log.read_text().splitlines()[-1]
    assert not [file for file in out.rglob("*") if file.is_file()]
    assert all_gone(workers, within_s=30), "no worker is left"
    assert prepare("shards", *options, TWO_PROCESSES) == 0
    assert prepare("shards", *options[:-1], tmp_path / "here") == 0
    assert stored(out) == stored(tmp_path / "here")


def workers_of(parent: int) -> list[int]:
    """Python processes below a process that run Beam's worker."""
    found, above = [], [parent]
    while above:
        listed = subprocess.run(
            ["pgrep", "-P", str(above.pop())], capture_output=True, text=True, check=False
        )
        for child in map(int, listed.stdout.split()):
            above.append(child)
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            if b"apache_beam.runners.worker.sdk_worker_main" in words:
                found.append(child)
    return found
