"""Extraction in parts, on devices with little memory, and by processes that are killed."""

import os
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
import soundfile

from data_prep.extract_units import extract
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_jsonl
from spirit_jax.datasets.manifest import open_corpus
from spirit_jax.datasets.units_folder import open_units
from spirit_jax.speech.codec import Codec
from spirit_jax.speech.encoders.hubert import Hubert, HubertUnits
from spirit_jax.speech.quantizers.linear import KmeansQuantizer
from tests.data_prep.conftest import REASONS, CountingCodec, prepare, voiced
from tests.speech.tiny_encoders import AT_25_HZ, random_encoder, random_wavs
from tests.verbs import ROOT


def test_parts_are_together_the_whole(stages, tmp_path, capsys):
    options = ("units", "--audio", stages.manifest, "--codec", stages.codec, "--out", tmp_path / "out")
    for index in range(3):
        assert prepare(*options, "--part", f"{index}/3", "--shard-size", 4) == 0
        if index < 2:
            with pytest.raises(UserError, match="parts, the first is"):
                open_units(tmp_path / "out")
    by_id = {row["id"]: row for row in open_units(stages.units).rows()}
    made = list(open_units(tmp_path / "out").rows())
    assert {row["id"]: row for row in made} == by_id
    assert len(made) == len(by_id)
    assert "part-00002-of-00003: read as manifest" in capsys.readouterr().out
    assert prepare(*options, "--part", "3/3") == 2


def test_more_parts_than_recordings_leave_some_empty(codec, stages, tmp_path, unusable):
    for index in range(12):
        options = ("units", "--audio", unusable, "--codec", stages.codec, "--out", tmp_path / "out")
        assert prepare(*options, "--part", f"{index}/12") == 0
    assert {row["id"] for row in open_units(tmp_path / "out").rows()} == {"good", "stereo"}
    aside = [row["id"] for path in tmp_path.glob("out/*/quarantine.jsonl") for row in read_jsonl(path)]
    assert sorted(aside) == sorted(REASONS)


class SmallDevice(CountingCodec):
    """A device that holds `most` samples at a time."""

    def __init__(self, real, most):
        super().__init__(real)
        self.most = most

    def encode_batch(self, wavs):
        if sum(map(len, wavs)) > self.most:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 60 bytes.")
        return super().encode_batch(wavs)


def test_a_recording_that_a_device_does_not_hold_is_set_aside(codec, tmp_path):
    for name, seconds in {"a": 1.0, "b": 3.0, "c": 9.0, "d": 2.0, "e": 0.5}.items():
        soundfile.write(tmp_path / f"{name}.wav", voiced(seconds), 16_000)
    corpus = open_corpus(tmp_path)
    summary = extract(corpus, SmallDevice(codec, 4 * 16_000), tmp_path / "small", 10)
    assert summary["reasons"] == {"device_memory": 1}
    (bad,) = read_jsonl(tmp_path / "small/quarantine.jsonl")
    assert (bad["id"], bad["detail"]) == ("c", "9.0 s do not fit into a device's memory")
    extract(corpus, codec, tmp_path / "large", 10)
    expected = [row for row in open_units(tmp_path / "large").rows() if row["id"] != "c"]
    assert list(open_units(tmp_path / "small").rows()) == expected


def test_what_fails_otherwise_is_no_lack_of_memory(codec, tmp_path):
    class Broken(CountingCodec):
        def encode_batch(self, wavs):
            raise jax.errors.JaxRuntimeError("INTERNAL: broken")

    soundfile.write(tmp_path / "a.wav", voiced(1.0), 16_000)
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        extract(open_corpus(tmp_path), Broken(codec), tmp_path / "out", 10)


def start(stages, out, **environment):
    command = [
        sys.executable,
        "-m",
        "data_prep",
        "units",
        "--audio",
        stages.manifest,
        "--codec",
        stages.codec,
    ]
    command += ["--out", out, "--shard-size", "2", *(["--distributed"] if environment else [])]
    variables = {**os.environ, "XLA_FLAGS": "", "JAX_COMPILATION_CACHE_DIR": str(stages.root / "compiled")}
    return subprocess.Popen(
        [str(word) for word in command],
        cwd=ROOT,
        env=variables | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_as_if_nothing_had_happened(stages, tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    assert start(stages, whole).wait(300) == 0
    rng = np.random.default_rng(0)
    for ledgers in (0, 1, 4, 8, 13):
        process = start(stages, killed)
        while process.poll() is None and len(list(killed.glob("done/*.json"))) < ledgers:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.05 if ledgers else 3))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert start(stages, killed).wait(300) == 0
    assert contents(killed) == contents(whole)
    assert not list(killed.rglob("*.partial"))


@pytest.mark.slow
def test_processes_that_joined_each_take_a_share(stages, tmp_path):
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    joined = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2", "JAX_PLATFORMS": "cpu"}
    processes = [start(stages, tmp_path / "out", **joined, JAX_PROCESS_ID=str(index)) for index in range(2)]
    assert [process.wait(300) for process in processes] == [0, 0]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "part-00000-of-00002",
        "part-00001-of-00002",
    ]
    by_id = {row["id"]: row for row in open_units(stages.units).rows()}
    made = list(open_units(tmp_path / "out").rows())
    assert {row["id"]: row for row in made} == by_id
    assert len(made) == len(by_id)


def test_units_of_eight_devices_are_those_of_one(tmp_path, monkeypatch):
    hubert = Hubert(random_encoder(AT_25_HZ), 1)
    centres = np.random.default_rng(0).normal(size=(20, AT_25_HZ.width)).astype(np.float32)
    codec = Codec((HubertUnits(hubert, KmeansQuantizer(centres)),))
    for number, wav in enumerate(random_wavs(*range(8_000, 200_000, 9_001))):
        soundfile.write(tmp_path / f"{number:02d}.wav", wav, 16_000)
    corpus = open_corpus(tmp_path)
    assert jax.local_device_count() == 8
    summary = extract(corpus, codec, tmp_path / "eight", 10)
    monkeypatch.setattr(jax, "local_device_count", lambda: 1)
    assert extract(corpus, codec, tmp_path / "one", 10) == summary
    assert summary["n_ok"] == 22
    assert contents(tmp_path / "eight") == contents(tmp_path / "one")
    assert len({unit for row in open_units(tmp_path / "one").rows() for unit in row["units"]}) > 5
