"""An expectation is met where intervals are apart, and only there."""

import pytest

from spirit_jax.evals.metrics.intervals import Estimate
from spirit_jax.paper.arm_runs import plan_runs
from spirit_jax.paper.findings import apart, find_all
from spirit_jax.paper.results import read_arms
from tests.paper.arms import make_experiment
from tests.paper.finished import write_run

EXPERIMENT = make_experiment("interleaved", "interleaved_pairs", "pairs", "text_only", "short_spans")


def found(root, reached):
    """What is found where arms reached an accuracy, an error rate and a rise."""
    runs = plan_runs(EXPERIMENT, EXPERIMENT.arms, root)
    for run in runs:
        if run.arm.name in reached:
            write_run(run, *reached[run.arm.name])
    return dict(find_all(read_arms(runs)))


def test_intervals_that_touch_are_not_apart():
    low, high = Estimate(0.5, (0.4, 0.6), 9), Estimate(0.8, (0.6, 0.9), 9)
    assert not apart(high, low)
    assert apart(Estimate(0.8, (0.61, 0.9), 9), low)
    assert not apart(Estimate(None, None, 0), low)


def test_what_the_paper_found_is_yes(tmp_path):
    reached = {
        "interleaved": (0.95, 0.9, 0.4),
        "interleaved_pairs": (0.95, 0.1, 0.4),
        "pairs": (0.55, 0.1, 0.0),
        "text_only": (0.5, 1.0, 0.0),
        "short_spans": (0.95, 0.9, 0.4),
    }
    said = found(tmp_path, reached)
    assert len(said) == 6, "there is no arm of Expressive"
    assert all(one.startswith("yes") for one in said.values()), said


def test_where_it_differs_is_named(tmp_path):
    said = found(tmp_path, {"interleaved": (0.6, 0.2, 0.0), "pairs": (0.95, 0.9, 0.3)})
    choice, rates, *_ = said.values()
    assert choice.startswith("in 0 of 4; not: T→S hard, ASR + TTS; ")
    assert rates == "in 0 of 2; not: transcribing; reading aloud"


def test_arms_that_were_not_run_have_no_finding(tmp_path):
    assert found(tmp_path, {"interleaved": (0.6, 0.2)}) == {}


@pytest.mark.parametrize("name", ["interleaved", "interleaved_pairs"])
def test_an_arm_of_which_a_seed_is_finished_is_read(tmp_path, name):
    runs = plan_runs(EXPERIMENT, EXPERIMENT.arms, tmp_path)
    write_run(next(run for run in runs if run.arm.name == name), 0.7, 0.5)
    arms = read_arms(runs)
    assert list(arms) == [name]
    assert len(arms[name].runs) == 1
