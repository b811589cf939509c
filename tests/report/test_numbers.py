import pytest

from spirit_jax.report.numbers import (
    facts,
    loss_rows,
    report_numbers,
    result_rows,
    tiles,
    training_numbers,
    transcripts,
)


def estimate(value, **more):
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 50, **more}


BEFORE = {
    "choice_s2t": estimate(0.5, pairs=200),
    "choice_t2s": estimate(0.4, pairs=200),
    "loss": {"text": {"nll": {"text": 2.0}}},
}
AFTER = {
    "choice_s2t": estimate(0.9, pairs=200),
    "choice_t2s": estimate(0.8, pairs=190),
    "wer_s2t": estimate(0.3, examples=[{"reference": "a", "transcript": "b"}]),
    "loss": {
        "text": {"nll": {"text": 1.0}},
        "speech": {"nll": {"speech": 3.0, "text": 9.0}},
        "interleaved": {"nll": {"text": 1.5, "speech": 3.5, "tag": 0.1}},
    },
}
ROWS = [
    {
        "step": 10,
        "tokens": 1000,
        "time/data_s": 1.0,
        "time/step_s": 9.0,
        "time/checkpoint_s": 0.0,
        "time/evaluate_s": 0.0,
    },
    {
        "step": 20,
        "tokens": 1000,
        "time/data_s": 1.0,
        "time/step_s": 9.0,
        "time/checkpoint_s": 5.0,
        "time/evaluate_s": 2.0,
    },
    {"step": 20, "validation_loss": 3.0},
]


def test_the_json_holds_what_was_promised():
    numbers = report_numbers(ROWS, BEFORE, AFTER)
    assert (numbers["choice_s2t_accuracy"], numbers["choice_s2t_accuracy_before"]) == (0.9, 0.5)
    assert (numbers["choice_t2s_accuracy"], numbers["choice_t2s_accuracy_before"]) == (0.8, 0.4)
    assert numbers["choice_t2s_accuracy_interval"] == pytest.approx([0.7, 0.9])
    assert numbers["n_pairs"] == 190
    assert (numbers["wer_s2t"], numbers["wer_t2s"]) == (0.3, None)
    assert numbers["loss_by_modality"] == {
        "text": 1.0,
        "speech": 3.0,
        "interleaved_text": 1.5,
        "interleaved_speech": 3.5,
    }
    assert numbers["loss_by_modality_before"] == {"text": 2.0}


def test_throughput_leaves_out_checkpoints_and_evaluations_but_the_wall_does_not():
    numbers = training_numbers(ROWS)
    assert numbers == {"steps": 20, "tokens": 2000, "tokens_per_second": 100.0, "wall_seconds": 27.0}


def test_nothing_measured_is_none_and_has_no_tile():
    numbers = report_numbers(ROWS, {}, {})
    assert numbers["choice_s2t_accuracy"] is None
    assert numbers["n_pairs"] == 0
    assert tiles(numbers) == []
    assert result_rows({}, {}, "choice") == loss_rows({}, {}) == []
    assert all(not rows for _, _, rows in transcripts({}))


def test_a_task_that_found_nothing_to_measure_is_none_too():
    nothing = {"value": None, "low": None, "high": None, "n": 0, "pairs": 0}
    numbers = report_numbers(ROWS, {}, {"choice_s2t": nothing})
    assert numbers["choice_s2t_accuracy"] is numbers["choice_s2t_accuracy_interval"] is None
    assert tiles(numbers) == []


def test_tiles_show_where_it_came_from():
    shown = tiles(report_numbers(ROWS, BEFORE, AFTER))
    assert [(tile["value"], tile["note"]) for tile in shown] == [
        ("0.900", "before training 0.500"),
        ("0.800", "before training 0.400"),
        ("0.300", "95 % within 0.200–0.400"),
    ]


def test_rows_put_before_beside_after():
    (s2t, _), wer = result_rows(BEFORE, AFTER, "choice"), result_rows(BEFORE, AFTER, "wer")
    assert (s2t["before"]["value"], s2t["after"]["value"]) == (0.5, 0.9)
    assert wer[0]["before"] is None
    assert loss_rows(BEFORE, AFTER)[0] == {"name": "Text", "before": 2.0, "after": 1.0}


def test_facts_are_readable():
    assert dict(facts(report_numbers(ROWS, BEFORE, AFTER), 960_000))["training time"] == "0 min 27 s"
