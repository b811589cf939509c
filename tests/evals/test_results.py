import json

import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.evals.registry import TASKS
from spirit_jax.evals.results import from_json, read_results, summarize, to_json
from spirit_jax.evals.task import Result, ResultKind

LOSSES = {"text": {"nll": {"text": 1.0, "tag": 0.5}}, "speech": {"nll": {"speech": 2.0}}}
PAIRS = {"pairs": 20, "value_of_sums": 0.7}
CHOICE = Result(0.9, (0.8, 1.0), 5, ResultKind.ACCURACY, PAIRS)


def loss(details):
    return Result(1.5, (1.0, 2.0), 3, ResultKind.LOSS, details)


@pytest.mark.parametrize(
    ("result", "line"),
    [
        (loss(LOSSES), "text text 1.000 tag 0.500, speech speech 2.000"),
        (loss({"text": {"nll": {}}, "speech": LOSSES["speech"]}), "speech speech 2.000"),
        (loss({"text": {"nll": {}}}), "nothing to measure"),
        (loss({}), "1.500 [1.000, 2.000] of 3 records"),
        (CHOICE, "0.900 [0.800, 1.000] of 20 pairs, 5 items"),
        (Result(0.1, (0.0, 0.2), 12, ResultKind.WORD_ERROR_RATE), "0.100 [0.000, 0.200] of 12 utterances"),
        (Result(None, None, 0, ResultKind.WORD_ERROR_RATE), "nothing to measure, of 0 utterances"),
    ],
)
def test_a_result_is_a_line_without_empty_parts(result, line):
    assert summarize(result) == line


@pytest.mark.parametrize("result", [CHOICE, loss(LOSSES), Result(None, None, 0, ResultKind.ACCURACY)])
def test_a_result_comes_back_from_its_json(result):
    assert from_json("any", json.loads(json.dumps(to_json(result)))) == result


def test_json_keeps_its_keys():
    values = {"kind": "accuracy", "value": 0.9, "low": 0.8, "high": 1.0, "n": 5, **PAIRS}
    assert to_json(CHOICE) == values
    assert to_json(loss(LOSSES))["text"] == LOSSES["text"]


def test_a_file_without_kinds_has_those_of_the_registry(tmp_path):
    old = {"value": 0.9, "low": 0.8, "high": 1.0, "n": 5}
    tasks = {name: LOSSES if name == "loss" else old for name in TASKS}
    (tmp_path / "eval.json").write_text(json.dumps({"records": 5, "tasks": tasks}))
    results = read_results(tmp_path / "eval.json")
    assert {name: result.kind for name, result in results.items()} == {
        name: task.kind for name, task in TASKS.items()
    }
    assert results["choice_s2t"] == Result(0.9, (0.8, 1.0), 5, ResultKind.ACCURACY)
    assert results["loss"] == Result(None, None, 0, ResultKind.LOSS, LOSSES)


def test_a_kind_that_nobody_knows_is_refused():
    with pytest.raises(UserError, match="task choice_s2t kind = beauty"):
        from_json("choice_s2t", {"kind": "beauty", "value": 1.0, "n": 1})
    with pytest.raises(UserError, match="task new kind = None"):
        from_json("new", {"value": 1.0, "n": 1})


def test_a_file_without_tasks_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="has no tasks"):
        read_results(tmp_path / "config.json")
