"""A finished arm is not run again, a stopped one continues, and another's folder is refused."""

import os
import signal
import sys
import threading
from types import SimpleNamespace

import pytest

from spirit_jax.core.errors import Halted, UserError
from spirit_jax.core.files import read_json
from spirit_jax.core.settings import override
from spirit_jax.paper import arm_runs
from spirit_jax.paper.arm_runs import make_run, plan_runs
from tests.paper.arms import folder_of, make_experiment
from tests.test_docs import parser_of

EXPERIMENT = make_experiment("interleaved", "pairs")
STAGE = '{"command": "spirit_jax", "seconds": 2.0}\n'


@pytest.fixture
def ran(monkeypatch):
    """The commands that were run; `codes`: how each ends, 0 when there are no more."""
    calls = SimpleNamespace(words=[], codes=[])

    def run(argv, compiled):
        code = calls.codes.pop(0) if calls.codes else 0
        if not code:
            with open(argv[-1], "a") as log:
                log.write(STAGE)
        calls.words.append(argv[3:])
        return code

    monkeypatch.setattr(arm_runs, "_run", run)
    monkeypatch.setattr(arm_runs, "_ask", lambda command: "said")
    return calls


def test_the_commands_are_those_that_users_type(tmp_path):
    for run in plan_runs(EXPERIMENT, EXPERIMENT.arms, tmp_path):
        for words in arm_runs.commands(EXPERIMENT, run, tmp_path):
            parser_of("spirit_jax", words[0]).parse_args(words[1:])


def test_all_arms_have_one_seed_before_any_has_two(tmp_path):
    planned = [run.folder.name for run in plan_runs(EXPERIMENT, EXPERIMENT.arms, tmp_path)]
    assert planned == ["interleaved-0", "pairs-0", "interleaved-1", "pairs-1"]


def test_an_arm_is_trained_and_evaluated_on_its_own_data(tmp_path, ran):
    run = plan_runs(EXPERIMENT, EXPERIMENT.arms, tmp_path)[0]
    make_run(EXPERIMENT, run, tmp_path)
    assert [words[0] for words in ran.words] == ["train", "eval", "eval"]
    assert {"storycloze", "wer_t2s", "alignment"} <= set(ran.words[1])
    assert str(tmp_path / "stories/heldout_voice") in ran.words[2]
    assert read_json(run.folder / "config.json")["train"]["seed"] == 0
    assert run.finished
    assert run.about["seconds"] == 6.0
    assert run.about["commit"] == "said"


@pytest.mark.parametrize(("codes", "says"), [([75], "train was stopped"), ([0, 0, 1], "eval failed with 1")])
def test_an_arm_that_was_stopped_is_not_finished_and_continues(tmp_path, ran, codes, says):
    ran.codes = codes
    run = plan_runs(EXPERIMENT, EXPERIMENT.arms, tmp_path)[0]
    with pytest.raises(Halted, match=says):
        make_run(EXPERIMENT, run, tmp_path)
    assert not run.finished
    (again, *_) = plan_runs(EXPERIMENT, EXPERIMENT.arms, tmp_path)
    make_run(EXPERIMENT, again, tmp_path)
    assert again.finished


def test_a_folder_of_other_settings_is_refused(tmp_path, ran):
    make_run(EXPERIMENT, plan_runs(EXPERIMENT, EXPERIMENT.arms, tmp_path)[0], tmp_path)
    for changed in ("run.train.steps=7", "records=9"):
        other = override(EXPERIMENT, [changed])
        with pytest.raises(UserError, match="was made with other settings"):
            plan_runs(other, other.arms, tmp_path)
    more = override(EXPERIMENT, ["seeds=[0,1,2,3]"])
    assert len(plan_runs(more, more.arms, tmp_path)) == 8
    assert folder_of(tmp_path, "interleaved").is_dir()


def test_sigterm_is_for_the_command_that_runs(tmp_path):
    timer = threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGTERM])
    timer.start()
    assert arm_runs._run(["sleep", "60"], tmp_path) == -signal.SIGTERM
    timer.join()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_what_a_machine_does_not_have_is_unknown():
    assert arm_runs._ask(["no-such-program"]) == "unknown"
    assert arm_runs._ask([sys.executable, "-c", "print(7)"]) == "7"
