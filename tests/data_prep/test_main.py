"""All commands have help and report mistakes in one line; fit-codec, whose module is in the library."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile

from data_prep.__main__ import COMMANDS
from spirit_jax.speech.codec_folder import load_codec
from tests.data_prep.conftest import prepare
from tests.speech_codes import make_streams


def test_fit_codec_is_deterministic_and_expressive_on_demand(stages, tmp_path):
    codec = load_codec(stages.codec)
    assert codec.streams == make_streams(20, 64, codec.streams[2].size)
    options = ("--units", 20, "--expressive", "--out", tmp_path / "again")
    assert prepare("fit-codec", "--audio", stages.manifest, *options) == 0
    assert load_codec(tmp_path / "again").fingerprint == codec.fingerprint


def test_fit_codec_leaves_bad_recordings_out(stages, tmp_path, capsys):
    for name in ("train-000000", "train-000001"):
        (tmp_path / f"{name}.wav").write_bytes((stages.corpus / "wav" / f"{name}.wav").read_bytes())
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    assert prepare("fit-codec", "--audio", tmp_path, "--out", tmp_path / "codec", "--units", 8) == 0
    assert "silent.wav is left out" in capsys.readouterr().err
    assert load_codec(tmp_path / "codec").streams == make_streams(8)


def test_fit_codec_wants_training_audio(tmp_path, capsys):
    (tmp_path / "m.jsonl").write_text('{"audio": "a.wav", "split": "heldout"}\n')
    assert prepare("fit-codec", "--audio", tmp_path / "m.jsonl", "--out", tmp_path / "out") == 2
    assert "training audio" in capsys.readouterr().err


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stop:
        prepare(command, "--help")
    assert stop.value.code == 0
    assert "--" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["synthesize", "tokenizer", "fit-codec", "units", "shards"])
def test_a_file_in_place_of_the_output_folder_is_one_line(stages, tmp_path, capsys, command):
    (tmp_path / "file").write_text("mine")
    given = {
        "tokenizer": ("--texts", stages.manifest),
        "units": ("--codec", stages.codec),
        "shards": stages.shard_options,
    }.get(command, ())
    audio = ("--audio", stages.manifest) if command in ("fit-codec", "units") else ()
    assert prepare(command, *given, *audio, "--out", tmp_path / "file") == 2
    assert (
        capsys.readouterr().err
        == f"error: --out = {tmp_path}/file: {tmp_path}/file is a file; name a folder\n"
    )
    assert (tmp_path / "file").read_text() == "mine"


def test_an_unknown_option_is_one_line_and_exit_2():
    done = subprocess.run(
        [sys.executable, "-m", "data_prep", "stats", "--nonsense"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
