"""Trains and evaluates arms by the commands that a user types, each in a process of its own.

So a killed run resumes by the commands' own rules, an accelerator's memory is free again after each, and
anybody can repeat a step by hand. Below the root:

arms/NAME-SEED/arm.json         what the folder was made with
               config.json      the run's configuration
               run/             the run folder
               heldout.json     figures on held-out sentences; heldout_scores/ of each item
               accent.json      the same of voices with another accent
               stages.jsonl     seconds of each command
               done.json        when and where it was finished; an arm with it is not run again
compiled/                       functions that JAX compiled: equal for most arms
"""

import dataclasses
import datetime
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from spirit_jax.core.errors import Halted, UserError
from spirit_jax.core.files import read_json, read_jsonl, read_optional_json, write_json
from spirit_jax.core.settings import to_dict
from spirit_jax.paper.experiment import Arm, Experiment

DONE = "done.json"
HELD_OUT, ACCENT = "heldout", "accent"  # names of the files of figures
CHOICES = ("storycloze", "topic_storycloze")
TASKS = {HELD_OUT: (*CHOICES, "wer_s2t", "wer_t2s", "alignment"), ACCENT: (*CHOICES, "wer_s2t")}
STOPPED = 75  # exit code of a training that was asked to stop


@dataclasses.dataclass(frozen=True)
class ArmRun:
    """One arm with one seed, and its folder."""

    arm: Arm
    seed: int
    folder: Path

    @property
    def finished(self) -> bool:
        """Whether it is trained and evaluated."""
        return (self.folder / DONE).is_file()

    @property
    def about(self) -> dict:
        """Date, machine, commit, seconds and load of a finished one."""
        return read_json(self.folder / DONE)


def plan_runs(experiment: Experiment, arms: tuple[Arm, ...], root: Path) -> list[ArmRun]:
    """All arms with the first seed, then with the next, so that an early stop leaves whole comparisons.

    UserError for a folder of an arm that was made with other settings.
    """
    runs = [
        ArmRun(arm, seed, root / "arms" / f"{arm.name}-{seed}") for seed in experiment.seeds for arm in arms
    ]
    for run in runs:
        stored = read_optional_json(run.folder / "arm.json")
        if stored and stored != _settings(experiment, run):
            rule = "was made with other settings"
            raise UserError(
                "arm", run.folder, rule, "give those, delete the folder, or choose another --root"
            )
    return runs


def make_run(experiment: Experiment, run: ArmRun, root: Path) -> None:
    """Trains and evaluates what is not done yet. Halted if a command fails or is stopped."""
    write_json(run.folder / "arm.json", _settings(experiment, run))
    write_json(run.folder / "config.json", to_dict(experiment.run_of(run.arm, run.seed)))
    for words in commands(experiment, run, root):
        argv = [*words, "--stage-log", str(run.folder / "stages.jsonl")]
        print(f"{run.folder.name}: python -m spirit_jax {shlex.join(argv)}", flush=True)
        code = _run([sys.executable, "-m", "spirit_jax", *argv], root / "compiled")
        if code:
            said = "was stopped" if code == STOPPED else f"failed with {code}"
            raise Halted(f"{run.folder}: {words[0]} {said}; the same command continues there")
    seconds = sum(stage["seconds"] for stage in read_jsonl(run.folder / "stages.jsonl"))
    write_json(run.folder / DONE, {**describe_machine(), "seconds": round(seconds, 1)})


def commands(experiment: Experiment, run: ArmRun, root: Path) -> list[list[str]]:
    """The words after `python -m spirit_jax` that train and evaluate it."""
    trained = str(run.folder / "run")
    train = ["train", "--config", str(run.folder / "config.json"), "--root", str(root), "--out", trained]
    evaluations = [
        [
            *("eval", *TASKS[name], "--checkpoint", trained, "--split", split),
            *("--shards", str(root / run.arm.data / "shards"), "--data", str(root / "stories" / split)),
            *("--max-records", str(experiment.records), "--out", str(run.folder / f"{name}.json")),
        ]
        for name, split in ((HELD_OUT, experiment.split), (ACCENT, experiment.accent))
    ]
    return [[*train, "--stopped-exit-code", str(STOPPED)], *evaluations]


def describe_machine() -> dict:
    """Date, processor, the device that JAX computes on, load over the last five minutes, and commit."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    device = _ask([sys.executable, "-c", "import jax; print(jax.devices()[0].device_kind)"])
    return {
        "date": datetime.date.today().isoformat(),
        "processor": names[0] if names else platform.machine(),
        "cores": os.cpu_count(),
        "device": device,
        "load": round(os.getloadavg()[1], 2),
        "commit": _ask(["git", "describe", "--always", "--dirty", "--exclude", "*"]),
    }


def _run(command: list[str], compiled: Path) -> int:
    """The command's exit code. SIGTERM is for the command, which saves what it has.

    compiled: folder of compiled functions, which the arms share unless the environment names another.
    """
    cache = {"JAX_COMPILATION_CACHE_DIR": str(compiled), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1"}
    child = subprocess.Popen(command, env={**cache, **os.environ})
    before = signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    try:
        return child.wait()
    finally:
        signal.signal(signal.SIGTERM, before)


def _ask(command: list[str]) -> str:
    """What a command prints, or `unknown`, for example without git."""
    if shutil.which(command[0]) is None:
        return "unknown"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def _settings(experiment: Experiment, run: ArmRun) -> dict:
    return {
        "config": to_dict(experiment.run_of(run.arm, run.seed)),
        "measured": {name: getattr(experiment, name) for name in ("records", "split", "accent")},
    }
