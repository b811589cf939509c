"""launch.sh with a fake gcloud that records its calls and answers with given states."""

import os
import subprocess
from pathlib import Path

import pytest

from spirit_jax.config import RunConfig
from spirit_jax.core.settings import load

ROOT = Path(__file__).parent.parent.parent
GCLOUD = """#!/usr/bin/env bash
echo "$*" >> "$STUB/asked"
case "$*" in
  *describe*) state=$(head -1 "$STUB/states"); sed -i 1d "$STUB/states"; 
    case $state in
      ABSENT) echo "ERROR: NOT_FOUND: Resource was not found." >&2; exit 1 ;;
      DENIED) printf 'ERROR: (gcloud) no account is active.\n\n  gcloud auth login\n' >&2; exit 1 ;;
    esac
    echo "$state" ;;
  "storage ls"*) test ! -s "$STUB/states" ;;
  *create*)
    if [ -n "${REFUSAL:-}" ]; then printf "ERROR: (gcloud.create) $REFUSAL\nSee the docs.\n" >&2; exit 1; fi
    for word in "$@"; do case $word in startup-script=*) cp "${word#*=}" "$STUB/boot" ;; esac; done ;;
esac
"""


def run(
    folder: Path, command: list[str], states: str = "ABSENT", **settings: str
) -> tuple[list[str], subprocess.CompletedProcess]:
    """What gcloud was asked, a line a call, and how the command ended. Naps are skipped."""
    for name, text in (("gcloud", GCLOUD), ("sleep", "#!/bin/sh\n")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (folder / "states").write_text("\n".join(states.split()) + "\n")
    (folder / "asked").touch()
    given = {
        "PROJECT": "ours",
        "ZONE": "us-x1-a",
        "REPO": "https://example.org/r.git",
        "REV": "abc",
        "STUB": str(folder),
        **settings,
    }
    environment = {**os.environ, **given, "PATH": f"{folder}:{os.environ['PATH']}"}
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    return (folder / "asked").read_text().splitlines(), ended


def launch(
    folder: Path, recipe: str, states: str = "ABSENT", **settings: str
) -> tuple[list[str], subprocess.CompletedProcess]:
    """The same of launch.sh."""
    command = ["tpu_configs/launch.sh", f"tpu_configs/pods/{recipe}.py", "shelf", "first"]
    return run(folder, command, states, **settings)


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
    assert creates[0].startswith(
        f"compute tpus queued-resources create one {nodes} --accelerator-type "
        f"{accelerator} --runtime-version "
    )
    assert " --spot --metadata-from-file startup-script=" in creates[0]
    assert creates[0].endswith("--project ours --zone us-x1-a")
    boot = (tmp_path / "boot").read_text()
    assert f"--config tpu_configs/pods/{recipe}.py --root /mnt/data --out gs://shelf/runs/first " in boot
    subprocess.run(["bash", "-n", tmp_path / "boot"], check=True)


@pytest.mark.parametrize("settings", [{}, {"FOLDER": "corpus/one"}, {"MOUNT": "1"}])
def test_the_run_folder_is_written_without_a_mount_and_shards_are_local_or_read_only(tmp_path, settings):
    launch(tmp_path, "spirit_base_7b_v4_128", **settings)
    boot = (tmp_path / "boot").read_text()
    subprocess.run(["bash", "-n", tmp_path / "boot"], check=True)
    source = "/".join(("gs://shelf", settings.get("FOLDER", ""))).rstrip("/")
    assert "--out gs://shelf/runs/first " in boot
    assert f"--set checkpoint.init_from={source}/base;" in boot
    assert "gcloud storage cp - gs://shelf/runs/first/finished" in boot
    assert "-r requirements-gcs.txt" in boot
    assert ("gcsfuse -o ro " in boot) == ("MOUNT" in settings)
    copied = f"gcloud storage rsync --recursive {source}/$part /mnt/data/$part"
    assert (copied in boot) == ("MOUNT" not in settings)


def test_a_machine_copies_what_a_recipe_reads(tmp_path):
    """The first part of the boot script, with a gcloud that copies from a folder."""
    launch(tmp_path, "spirit_base_7b_v4_128")
    copying = (tmp_path / "boot").read_text().partition("PYTHON=")[0].replace("/mnt/data", f"{tmp_path}/data")
    for part in ("shards", "tokenizer", "codec"):
        (tmp_path / "shelf" / part / "inner").mkdir(parents=True)
    gcloud = f'#!/bin/sh\ncp -r {tmp_path}/shelf/$(basename "$4") "${{5%/*}}"\n'
    (tmp_path / "gcloud").write_text(gcloud)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-c", copying], env=environment, check=True)
    recipe = load(ROOT / "tpu_configs/pods/spirit_base_7b_v4_128.py", RunConfig)
    for path in (recipe.data.tokenizer, recipe.data.codec, *(s.shards for s in recipe.data.sources)):
        assert (tmp_path / "data" / path.partition("/")[0] / "inner").is_dir()


def test_one_that_is_there_is_not_asked_for_again(tmp_path):
    asked, ended = launch(tmp_path, "spirit_base_7b_v4_128", states="WAITING_FOR_RESOURCES")
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith(
        "error: spirit-base-7b-v4-128 is there already, WAITING_FOR_RESOURCES: watch it with WATCH=1"
    )
    assert not [line for line in asked if " create " in line]


@pytest.mark.parametrize(
    "refusal", ["RESOURCE_EXHAUSTED: Quota limit exceeded.", "ALREADY_EXISTS: Resource already exists."]
)
def test_a_refusal_is_one_line_and_an_exit_code(tmp_path, refusal):
    asked, ended = launch(tmp_path, "spirit_base_7b_v4_128", REFUSAL=refusal)
    assert ended.returncode == 1
    command, line = ended.stderr.splitlines()
    assert command.startswith("+ gcloud compute tpus queued-resources create ")
    assert line == f"error: ERROR: (gcloud.create) {refusal} See the docs."
    assert len(asked) == 2


def test_nothing_is_asked_for_where_the_state_cannot_be_known(tmp_path):
    asked, ended = launch(tmp_path, "spirit_base_7b_v4_128", states="DENIED")
    assert (len(asked), ended.returncode) == (1, 1)
    assert ended.stderr == "error: ERROR: (gcloud) no account is active. gcloud auth login\n"


@pytest.mark.parametrize("name", ["PROJECT", "ZONE", "REPO"])
def test_a_missing_setting_is_named_in_one_line(tmp_path, name):
    asked, ended = launch(tmp_path, "spirit_base_7b_v4_128", **{name: ""})
    (line,) = ended.stderr.splitlines()
    assert (asked, ended.returncode) == ([], 2)
    assert line.startswith(f"error: {name} is not set: ")


@pytest.mark.parametrize(
    ("settings", "code", "acts"), [({}, 0, 3), ({"CHECK": "1"}, 2, 1), ({"REFUSAL": "ALREADY_EXISTS"}, 2, 3)]
)
def test_make_prints_checks_and_asks_in_this_order(tmp_path, settings, code, acts):
    """`make train-pod` whole, with a python that only writes down what it is asked: a recipe that doesn't fit
    ends it.
    """
    (tmp_path / "venv/bin").mkdir(parents=True)
    (tmp_path / "venv/bin/python").write_text(
        '#!/bin/sh\necho "python $*" >> "$STUB/asked"\nexit ${CHECK:-0}\n'
    )
    (tmp_path / "venv/bin/python").chmod(0o755)
    for stage in ("runtime", "pod"):
        (tmp_path / "venv" / stage).touch()
    recipe = "tpu_configs/pods/spirit_base_7b_v4_128.py"
    command = [
        "make",
        "train-pod",
        f"VENV={tmp_path / 'venv'}",
        f"CONFIG={recipe}",
        "BUCKET=shelf",
        "RUN=first",
    ]
    asked, ended = run(tmp_path, command, **settings)
    assert ended.returncode == code
    expected = [
        f"python -m spirit_jax check-pod {recipe}",
        "compute tpus queued-resources describe",
        "compute tpus queued-resources create",
    ]
    assert [line[: len(start)] for line, start in zip(asked, expected, strict=False)] == expected[:acts]
    assert len(asked) == acts
    assert "spirit_jax train --distributed" in ended.stdout, "what the machines will do is printed"
    assert ended.stderr.startswith("+ gcloud compute tpus queued-resources create spirit-base-7b-v4-128 ")


def test_make_names_what_is_missing(tmp_path):
    command = [
        "make",
        "--assume-old",
        f"{tmp_path}/pod",
        "train-pod",
        f"VENV={tmp_path}",
        "CONFIG=a",
        "BUCKET=b",
        "RUN=c",
    ]
    asked, ended = run(tmp_path, command, ZONE="")
    assert (asked, ended.returncode) == ([], 2)
    assert "ZONE is not set: a zone that has the slice" in ended.stderr


def test_watching_requests_again_a_slice_that_was_taken_away_until_the_run_is_finished(tmp_path):
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


def test_an_earlier_path_of_a_recipe_names_its_new_one(tmp_path):
    asked, ended = run(
        tmp_path, ["tpu_configs/launch.sh", "tpu_configs/spirit_base_7b_v4_128.py", "shelf", "first"]
    )
    assert (asked, ended.returncode) == ([], 2)
    assert "use tpu_configs/pods/spirit_base_7b_v4_128.py" in ended.stderr
