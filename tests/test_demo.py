"""A shortened `make demo`: every stage runs, in both variants, and the report has its figures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STEPS = ["TEXT_SET=train.steps=20", "MEL_SET=train.steps=20"]
SMALL = ["UTTERANCES=140", "PAIRS=20", "SENTENCES=600", "RECORDS=24", *STEPS]
FIGURES = {
    "choice_s2t_accuracy",
    "choice_t2s_accuracy",
    "choice_s2t_accuracy_before",
    "choice_t2s_accuracy_before",
    "n_pairs",
    "loss_by_modality",
}


def run_demo(folder: Path, *settings: str) -> subprocess.CompletedProcess:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("XLA_", "MAKE"))}
    command = ["make", "demo", f"VENV={sys.prefix}", f"DEMO={folder}", *SMALL, *settings]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "voices"), [("base", "pico"), ("expressive", "espeak")])
def test_the_demo_runs_and_reports(tmp_path, variant, voices):
    short = "TRAIN_SET=train.steps=40 checkpoint.every_steps=20"
    asked = (f"VARIANT={variant}", f"VOICES={voices}")
    done = run_demo(tmp_path, *asked, short, "EARS=1", "HEARD=4")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    report = json.loads((tmp_path / "report.json").read_text())
    assert report.keys() >= FIGURES | {"wer_s2t", "tokens_per_second", "wall_seconds", "steps"}
    assert report["steps"] == 40
    assert all(report[f"ears_{what}"] is not None for what in ("recording", "resynthesis", "reading"))
    if voices == "pico":
        assert report["ears_recording"] < 0.3, "Whisper knows Pico's words"
    assert report["ears_reading"] > 0.3, "the model can't speak yet"
    stages = report["stage_seconds"]
    assert {"data_prep synthesize corpus", "data_prep align aligned", "spirit_jax train run"} <= stages.keys()
    assert report["decoder"]["steps"] == 20
    assert stages["spirit_jax train-codec mel"] > 0
    assert report["kept_f0"] is not None
    assert (report["kept_style_accuracy"] is not None) == (variant == "expressive")
    assert sum(stages.values()) > stages["spirit_jax train run"] > 0
    aligned = json.loads((tmp_path / "aligned/summary.json").read_text())
    done_before = "n_had_word_times" if voices == "espeak" else "n_aligned"
    assert aligned[done_before] > 20 * aligned["n_quarantined"]
    assert aligned["n_of_other_splits"] == 20
    assert 0 <= report["choice_s2t_accuracy"] <= 1
    page = (tmp_path / "report.html").read_text()
    assert "<audio" in page
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )
    again = run_demo(tmp_path, *asked)
    assert again.returncode == 0
    assert "data_prep" not in again.stdout, "a finished demo does nothing twice"


def test_an_unknown_variant_is_one_line():
    done = subprocess.run(
        ["make", "demo", "VARIANT=loud"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "must be base or expressive" in done.stderr


@pytest.mark.parametrize(
    ("given", "heard"),
    [("my recordings", "my recordings"), ("~/recordings", str(Path.home() / "recordings"))],
)
def test_verbs_take_paths_with_spaces_and_of_home(given, heard):
    printed = subprocess.run(
        ["make", "-n", "units", f"AUDIO={given}", "OUT=an out"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    script = (
        printed[printed.index("test -f") :]
        .replace("test -f", "")
        .replace(".venv/bin/python -m data_prep", "printf '%s\\n'")
        .replace("||", ";")
    )
    words = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=False
    ).stdout.splitlines()
    assert [words[words.index(option) + 1] for option in ("--audio", "--codec")] == [heard, "an out/codec"]


@pytest.mark.parametrize(("code", "left"), [(0, ["finished"]), (75, [])])
def test_a_demo_whose_training_was_stopped_is_not_finished(tmp_path, code, left):
    """With a Python that only tells how training ended: 75 after SIGTERM."""
    python = tmp_path / "venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\nexit {code}\n')
    python.chmod(0o755)
    run = tmp_path / "base/run"
    run.mkdir(parents=True)
    command = [
        "make",
        f"DEMO={tmp_path}",
        f"VENV={tmp_path}/venv",
        "-o",
        f"{tmp_path}/base/base/config.json",
        "-o",
        f"{tmp_path}/base/shards/spirit_tokens/aligned/1.0.0/dataset_info.json",
        str(run / "finished"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (code == 0), done.stderr
    assert "--stopped-exit-code 75" in (tmp_path / "called").read_text()
    assert [path.name for path in run.iterdir()] == left
