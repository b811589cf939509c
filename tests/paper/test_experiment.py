"""The recipe of the comparison: arms differ in how records are arranged."""

import dataclasses

import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.core.settings import load, override
from spirit_jax.paper.experiment import Experiment
from spirit_jax.tokens.interleave import Arrangement
from tests.paper.arms import RECIPE, make_experiment

WHOLE = make_experiment(seeds=(0, 1, 2))
ARMS = {arm.name: arm for arm in WHOLE.arms}


def share_of(arm, *arrangements):
    chosen = [source.weight for source in arm.sources if source.arrangement in arrangements]
    return sum(chosen) / sum(source.weight for source in arm.sources)


def test_the_six_arms_of_the_paper_are_there():
    assert ARMS.keys() >= {"interleaved", "interleaved_pairs", "pairs", "word_transcription"}
    assert ARMS.keys() >= {"no_interleaving", "speech_only", "text_only", "expressive"}


@pytest.mark.parametrize("name", ARMS)
def test_every_run_has_the_same_budget_and_rates(name):
    first, run = WHOLE.run_of(WHOLE.arms[0], 1), WHOLE.run_of(ARMS[name], 1)
    assert run.train == first.train
    peak = first.optim.peak_lr / 8 if name == "text_only" else first.optim.peak_lr  # as its title says
    assert run.optim == dataclasses.replace(first.optim, peak_lr=peak)
    assert run.data.sequence_length == first.data.sequence_length
    assert WHOLE.tokens == run.train.steps * run.train.batch_rows * run.data.sequence_length


def test_a_third_has_both_modalities_as_in_the_paper():
    both = [one for one in Arrangement if one not in (Arrangement.SPEECH, Arrangement.TEXT)]
    for name in (
        "interleaved",
        "interleaved_pairs",
        "pairs",
        "word_transcription",
        "expressive",
        "aligned_5",
    ):
        assert share_of(ARMS[name], *both) == pytest.approx(1 / 3)
        assert share_of(ARMS[name], Arrangement.TEXT) == pytest.approx(1 / 3)
    assert share_of(ARMS["no_interleaving"], *both) == 0
    assert share_of(ARMS["no_interleaving"], Arrangement.TEXT) == pytest.approx(1 / 2)
    assert share_of(ARMS["speech_only"], Arrangement.SPEECH) == 1


def test_seeds_differ_in_the_seed_alone():
    runs = [WHOLE.run_of(WHOLE.arms[0], seed) for seed in (0, 1)]
    assert [run.train.seed for run in runs] == [0, 1]
    assert override(runs[1], ["train.seed=0"]) == runs[0]


def test_a_budget_is_changed_for_all_arms_at_once():
    less = override(WHOLE, ["run.train.steps=10", "seeds=[4]"])
    assert {less.run_of(arm, 4).train.steps for arm in less.arms} == {10}


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [(["seeds=[1,1]"], "seeds"), (["seeds=[]"], "seeds"), (["records=0"], "records"), (["steps=1"], "steps")],
)
def test_mistakes_are_named(settings, complaint):
    with pytest.raises(UserError, match=complaint):
        override(WHOLE, settings)


def test_the_larger_experiment_has_the_same_arms():
    larger = load(RECIPE.with_name("large_h200_1.py"), Experiment)
    assert [arm.name for arm in larger.arms] == list(ARMS)
    assert larger.tokens > 40 * WHOLE.tokens
    assert {larger.run_of(arm, 0).model.width for arm in larger.arms} == {512}


def test_an_unknown_arm_is_named():
    with pytest.raises(UserError, match="--arms = both"):
        WHOLE.choose(["both"])
