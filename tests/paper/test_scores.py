"""Scores of several seeds and items become one estimate."""

import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import write_jsonl
from spirit_jax.paper.arm_runs import HELD_OUT, plan_runs
from spirit_jax.paper.scores import read_counts, read_probe
from tests.paper.arms import make_experiment
from tests.paper.finished import ITEMS, write_run


@pytest.fixture
def runs(tmp_path):
    experiment = make_experiment("interleaved")
    planned = plan_runs(experiment, experiment.arms, tmp_path)
    for run in planned:
        write_run(run, accuracy=0.8, error_rate=0.3, rise=0.5)
    return planned


def test_choices_are_averaged_over_seeds_and_items(runs):
    counts = read_counts(runs, HELD_OUT, "storycloze_t2s")
    assert counts.above_RN.shape == (2, ITEMS)
    found = counts.estimate()
    assert found.value == counts.above_RN.mean()
    assert found.interval[0] < found.value < found.interval[1]


def test_word_errors_are_weighted_by_words(runs):
    for run, errors in zip(runs, (2, 4)):
        rows = [{"id": "a", "errors": errors, "words": 4}, {"id": "b", "errors": 0, "words": 8}]
        write_jsonl(run.folder / "heldout_scores/wer_s2t.jsonl", rows)
    assert read_counts(runs, HELD_OUT, "wer_s2t").estimate().value == 0.25


def test_what_was_set_aside_is_no_item(runs):
    for run in runs:
        rows = [{"item": "1", "win": 1.0}, {"item": "2", "set_aside": "silent"}]
        write_jsonl(run.folder / "heldout_scores/storycloze_t.jsonl", rows)
    assert read_counts(runs, HELD_OUT, "storycloze_t").items == ("1",)


def test_seeds_that_were_asked_other_items_are_refused(runs):
    write_jsonl(runs[1].folder / "heldout_scores/storycloze_t.jsonl", [{"item": "x", "win": 1.0}])
    with pytest.raises(UserError, match="has other items of storycloze_t than interleaved-0"):
        read_counts(runs, HELD_OUT, "storycloze_t")


def test_the_probe_rises_from_the_embedding_to_its_best_layer(runs):
    probe = read_probe(runs, HELD_OUT)
    assert probe.rise.value == pytest.approx(0.5)
    assert (probe.embedded.value, probe.best.value) == (pytest.approx(0.0), pytest.approx(0.5))
    assert [one.value for one in probe.estimates(probe.same_RNL)] == pytest.approx([0.1, 0.6, 0.1])
    assert np.all(probe.words_RN == 8)
