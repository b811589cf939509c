import json

import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.registry import GROUPS, TASKS, choice, count_wins, expand, loss
from spirit_jax.evals.suites.continuations import DIRECTIONS, make_items
from spirit_jax.generation.likelihood import log_probs
from spirit_jax.tokens.interleave import Spans
from spirit_jax.tokens.vocabulary import merge
from tests.evals.fakes import Oracle
from tests.generation.world import records, tiny_lm

SPANS = Spans((2, 4), (1, 3))
RECORDS = records(30)


def rights(direction):
    lm = tiny_lm()
    return {
        item.prompt.tobytes(): item.right.tobytes()
        for item in make_items(RECORDS, direction, lm.vocabulary, lm.tokenizer)
    }


@pytest.mark.parametrize("direction", DIRECTIONS, ids=lambda direction: direction.name)
def test_a_judge_who_knows_is_always_right_and_one_who_lies_never(direction):
    right = rights(direction)
    for sign, expected in ((1, 1.0), (-1, 0.0)):
        result = choice(
            direction,
            Evaluation(Oracle(lambda p, t, s=sign: s * (right[p.tobytes()] == t.tobytes())), RECORDS, SPANS),
        )
        assert result["value"] == result["low"] == result["high"] == expected
        assert result["pairs"] == 4 * result["n"] == 120


def test_a_judge_who_does_not_care_scores_half():
    result = choice(DIRECTIONS[0], Evaluation(Oracle(lambda p, t: -1.0), RECORDS, SPANS))
    assert result["value"] == 0.5


def test_length_decides_the_sums_but_not_the_means():
    result = choice(DIRECTIONS[0], Evaluation(Oracle(lambda p, t: -1.0), RECORDS, SPANS))
    pairs = [
        (len(item.right), len(wrong))
        for item in make_items(RECORDS, DIRECTIONS[0], tiny_lm().vocabulary, tiny_lm().tokenizer)
        for wrong in item.wrong
    ]
    expected = np.mean([(right < wrong) + 0.5 * (right == wrong) for right, wrong in pairs])
    assert result["value_of_sums"] == pytest.approx(expected)


def test_ties_count_half():
    assert count_wins(np.array([2.0, 1.0, 2.0, 3.0])) == 1.5


def test_an_untrained_model_chooses_by_chance():
    result = choice(DIRECTIONS[0], Evaluation(tiny_lm(), RECORDS, SPANS))
    assert 0.25 < result["value"] < 0.75
    assert result["low"] < result["value"] < result["high"]


def test_loss_is_the_mean_over_tokens_of_a_class():
    lm = tiny_lm()
    results = loss(Evaluation(lm, RECORDS[:3], SPANS))
    vocabulary = lm.vocabulary
    documents = [
        np.concatenate(
            [
                [vocabulary.bos, vocabulary.speech_tag],
                vocabulary.encode_stream(*merge(record.speech, vocabulary.streams)[:2]),
            ]
        )
        for record in RECORDS[:3]
    ]
    scored = [log_probs(lm.llama, [(ids[:1], ids[1:])])[0] for ids in documents]
    assert results["speech"]["nll"]["speech"] == pytest.approx(
        -np.concatenate([part[1:] for part in scored]).mean(), rel=1e-4
    )
    assert "text" not in results["speech"]["nll"]
    assert results["text"]["tokens"]["speech"] == 0
    assert set(results["interleaved"]["nll"]) == {"text", "speech", "tag"}
    assert results["interleaved"]["tokens"]["tag"] >= 2 * 3


def test_results_are_plain_json_and_repeatable():
    evaluation = Evaluation(tiny_lm(), RECORDS[:12], SPANS, seed=3)
    for name in ("loss", "choice_t2s"):
        once, again = (json.dumps(TASKS[name](evaluation)) for _ in range(2))
        assert once == again


def test_expressive_records_are_evaluated_too():
    evaluation = Evaluation(tiny_lm(expressive=True), records(10, expressive=True), SPANS)
    assert choice(DIRECTIONS[1], evaluation)["n"] == 10
    assert loss(evaluation)["speech"]["tokens"]["speech"] > 0


def test_long_records_are_cut_for_the_loss_and_not_asked():
    evaluation = Evaluation(tiny_lm(), RECORDS[:12], SPANS, longest=30)
    assert not evaluation.asked
    assert choice(DIRECTIONS[0], evaluation)["n"] == 0
    whole = loss(Evaluation(tiny_lm(), RECORDS[:12], SPANS))
    assert loss(evaluation)["interleaved"]["tokens"] == whole["interleaved"]["tokens"], (
        "no target is lost at a cut"
    )


def test_groups_expand_in_the_tables_order():
    assert expand(["wer_s2t", "choice", "loss"]) == ["loss", *GROUPS["choice"], "wer_s2t"]
    assert expand([*GROUPS, "loss"]) == list(TASKS)
    with pytest.raises(UserError, match="chioce"):
        expand(["loss", "chioce"])
