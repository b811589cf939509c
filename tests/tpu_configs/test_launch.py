"""launch.sh with a gcloud that only writes down what it is asked, and says the states it is told to."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
GCLOUD = """#!/usr/bin/env bash
echo "$*" >> "$STUB/asked"
case "$*" in
  *describe*) state=$(head -1 "$STUB/states"); sed -i 1d "$STUB/states"; test "$state" != ABSENT && echo "$state" ;;
  "storage ls"*) test ! -s "$STUB/states" ;;
  *create*) for word in "$@"; do case $word in startup-script=*) cp "${word#*=}" "$STUB/boot" ;; esac; done ;;
esac
"""


def launch(folder: Path, recipe: str, states: str = "ABSENT", **settings: str) -> tuple[list[str], subprocess.CompletedProcess]:
    """What gcloud was asked, a line a call, and how the script ended. Naps are skipped."""
    for name, text in (("gcloud", GCLOUD), ("sleep", "#!/bin/sh\n")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (folder / "states").write_text("\n".join(states.split()) + "\n")
    (folder / "asked").touch()
    given = {"PROJECT": "ours", "ZONE": "us-x1-a", "REPO": "https://example.org/r.git", "REV": "abc", "STUB": str(folder), **settings}
    environment = {**os.environ, **given, "PATH": f"{folder}:{os.environ['PATH']}"}
    command = ["tpu_configs/launch.sh", f"tpu_configs/{recipe}.py", "shelf", "first"]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return (folder / "asked").read_text().splitlines(), ended


def test_a_dry_run_prints_and_asks_nothing(tmp_path):
    asked, ended = launch(tmp_path, "spirit_base_7b_v4_128", DRY="1", WATCH="1")
    assert (asked, ended.returncode) == ([], 0)
    assert "queued-resources create spirit-base-7b-v4-128" in ended.stderr
    assert "spirit_jax train --distributed" in ended.stdout


@pytest.mark.parametrize(
    ("recipe", "nodes", "accelerator"),
    [
        ("spirit_base_7b_v4_128", "--node-id one", "v4-128"),
        ("spirit_base_7b_v5e_256", "--node-id one", "v5litepod-256"),
        ("spirit_base_7b_2x_v5e_256", "--node-count 2 --node-prefix one", "v5litepod-256"),
        ("spirit_expressive_7b_v6e_64", "--node-id one", "v6e-64"),
    ],
)
def test_the_slice_is_asked_for_once_with_what_the_machines_do(tmp_path, recipe, nodes, accelerator):
    asked, ended = launch(tmp_path, recipe, NAME="one", SPOT="1")
    creates = [line for line in asked if " create " in line]
    assert ended.returncode == 0
    assert len(creates) == 1
    assert creates[0].startswith(f"compute tpus queued-resources create one {nodes} --accelerator-type {accelerator} --runtime-version ")
    assert " --spot --metadata-from-file startup-script=" in creates[0]
    assert creates[0].endswith("--project ours --zone us-x1-a")
    boot = (tmp_path / "boot").read_text()
    assert f"--config tpu_configs/{recipe}.py --root /mnt/data/ --out /mnt/data/runs/first" in boot
    subprocess.run(["bash", "-n", tmp_path / "boot"], check=True)


def test_one_that_is_there_is_not_asked_for_again(tmp_path):
    asked, ended = launch(tmp_path, "spirit_base_7b_v4_128", states="WAITING_FOR_RESOURCES")
    assert ended.returncode == 0
    assert not [line for line in asked if " create " in line]


def test_watching_asks_anew_for_a_slice_that_was_taken_away_until_the_run_is_finished(tmp_path):
    states = "ABSENT WAITING_FOR_RESOURCES PROVISIONING ACTIVE SUSPENDED ABSENT ACTIVE FAILED ABSENT"
    asked, ended = launch(tmp_path, "spirit_base_7b_v5e_256", states=states, NAME="one", WATCH="1")
    acts = [line.split()[3] for line in asked if " create " in line or " delete " in line]
    assert (ended.returncode, acts) == (0, ["create", "delete", "create", "delete", "create"])
    assert "delete one --quiet --force --project ours --zone us-x1-a" in " ".join(asked)
    assert asked[-1] == "storage ls gs://shelf/runs/first/finished"


def test_what_is_no_pod_is_refused(tmp_path):
    asked, ended = launch(tmp_path, "tiny_cpu")
    assert (asked, ended.returncode) == ([], 2)
    assert "is no recipe for a TPU pod" in ended.stderr
