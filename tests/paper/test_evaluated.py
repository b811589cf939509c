"""What the commands write of a model is what the page is made of."""

import dataclasses

import pytest

from data_prep.speakers import ACCENTS
from data_prep.synthesize import plan
from spirit_jax.core.files import write_json, write_jsonl
from spirit_jax.paper.arm_runs import ACCENT, HELD_OUT, commands, plan_runs
from spirit_jax.paper.results import DIRECTIONS, HARD, RATES, read_arms
from tests.data_prep.conftest import prepare
from tests.evals.folders import spirit, write_folders
from tests.paper.arms import make_experiment
from tests.paper.finished import ABOUT

STORIES, RECORDS = 8, 4


@pytest.fixture(scope="module")
def arms(tmp_path_factory):
    """One arm, whose model is a tiny one with random weights; its stories are of both splits."""
    root = tmp_path_factory.mktemp("root")
    write_folders(root / "base")
    write_jsonl(root / "manifest.jsonl", plan({"heldout": STORIES}, ACCENTS, seed=0))
    experiment = dataclasses.replace(make_experiment("interleaved", seeds=(0,)), records=RECORDS)
    (run,) = plan_runs(experiment, experiment.arms, root)
    stories = ("--corpus", root / "manifest.jsonl", "--items", STORIES, "--out", root / "stories/heldout")
    assert prepare("stories", *stories) == 0
    run.folder.mkdir(parents=True)
    (run.folder / "run").symlink_to(root / "base/run")
    (root / "stories/heldout_voice").symlink_to(root / "stories/heldout")
    _, *evaluations = commands(experiment, run, root)
    for words in evaluations:  # the tiny shards have one split
        assert spirit(*[word.replace("heldout_voice", "heldout") for word in words]) == 0
    write_json(run.folder / "done.json", ABOUT)
    return read_arms([run])


def test_every_figure_of_the_page_is_measured(arms):
    one = arms["interleaved"]
    for name in (HELD_OUT, ACCENT):
        for direction in DIRECTIONS:
            assert 0 <= one.choice(HARD, direction, name).value <= 1
            assert one.choice(HARD, direction, name).n == STORIES
    assert all(one.rate(task).value > 0 for task in RATES)
    assert one.rate("wer_s2t", ACCENT).value == one.rate("wer_s2t").value
    assert one.probe.same_RNL.shape[:2] == (1, RECORDS)
    assert one.probe.rise.n == RECORDS
