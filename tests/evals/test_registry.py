import json

import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.registry import GROUPS, HELD_OUT, TASKS, expand
from spirit_jax.evals.results import to_json
from spirit_jax.evals.task import measure
from spirit_jax.tokens.interleave import Arrangement
from tests.generation.world import records, tiny_lm


def test_groups_expand_in_the_tables_order():
    assert expand(["wer_s2t", "choice", "loss"]) == ["loss", *GROUPS["choice"], "wer_s2t"]
    assert expand([*GROUPS, "loss", "token_rates", "alignment", "mmlu"]) == list(TASKS)
    with pytest.raises(UserError, match="chioce"):
        expand(["loss", "chioce"])


@pytest.mark.parametrize("name", ["loss", "choice_t2s", "wer_s2t"])
def test_results_are_plain_json_and_repeatable(name):
    evaluation = Evaluation(tiny_lm(), records(12), seed=3)
    once, again = (json.dumps(to_json(measure(TASKS[name], evaluation))) for _ in range(2))
    assert once == again


@pytest.mark.parametrize("name", HELD_OUT)
def test_choosing_items_runs_no_model(name):
    class NoModel:
        vocabulary, tokenizer, format = tiny_lm().vocabulary, tiny_lm().tokenizer, tiny_lm().format
        arrangements = frozenset(Arrangement)

    assert TASKS[name].items(Evaluation(NoModel(), records(12)))


def test_no_two_tasks_have_the_same_title():
    assert len({task.title for task in TASKS.values()}) == len(TASKS)


def test_a_result_has_the_kind_of_its_task():
    evaluation = Evaluation(tiny_lm(), [])
    for task in HELD_OUT.values():
        result = measure(task, evaluation)
        assert (result.value, result.interval, result.n) == (None, None, 0)
        assert result.kind is task.kind
