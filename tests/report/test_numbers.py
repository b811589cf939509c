import pytest

from spirit_jax.evals.registry import TASKS
from spirit_jax.evals.task import Result, ResultKind
from spirit_jax.report.numbers import (
    facts,
    loss_rows,
    report_numbers,
    result_tables,
    tiles,
    training_numbers,
    transcripts,
)


def accuracy(value, pairs=200):
    return Result(value, (value - 0.1, value + 0.1), 50, ResultKind.ACCURACY, {"pairs": pairs})


def error_rate(value, **details):
    return Result(value, (value - 0.1, value + 0.1), 50, ResultKind.WORD_ERROR_RATE, details)


def loss(details):
    return Result(1.0, (0.9, 1.1), 50, ResultKind.LOSS, details)


BEFORE = {
    "choice_s2t": accuracy(0.5),
    "choice_t2s": accuracy(0.4),
    "loss": loss({"text": {"nll": {"text": 2.0}}}),
}
AFTER = {
    "choice_s2t": accuracy(0.9),
    "choice_t2s": accuracy(0.8, pairs=190),
    "wer_s2t": error_rate(0.3, examples=[{"reference": "a", "transcript": "b"}]),
    "loss": loss(
        {
            "text": {"nll": {"text": 1.0}},
            "speech": {"nll": {"speech": 3.0, "text": 9.0}},
            "interleaved": {"nll": {"text": 1.5, "speech": 3.5, "tag": 0.1}},
        }
    ),
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
    assert result_tables({}, {}) == loss_rows({}, {}) == transcripts({}) == []


def test_a_task_that_found_nothing_to_measure_is_none_too():
    nothing = Result(None, None, 0, ResultKind.ACCURACY, {"pairs": 0})
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


def test_tables_show_results_by_kind_before_and_after_training():
    (kind, (s2t, t2s)), (other_kind, (wer,)) = result_tables(BEFORE, AFTER)
    assert (kind, other_kind) == (ResultKind.ACCURACY, ResultKind.WORD_ERROR_RATE)
    assert (s2t.name, s2t.before, s2t.after) == ("Speech → text", BEFORE["choice_s2t"], AFTER["choice_s2t"])
    assert t2s.latest == AFTER["choice_t2s"]
    assert (wer.name, wer.before, wer.after) == ("Transcribing speech", None, AFTER["wer_s2t"])
    assert loss_rows(BEFORE, AFTER)[0] == {"name": "Text", "before": 2.0, "after": 1.0}


def test_a_task_that_the_registry_does_not_have_is_shown_by_its_kind():
    ((kind, (row,)),) = result_tables({}, {"sentiment": accuracy(0.7)})
    assert (kind, row.name, row.latest.value) == (ResultKind.ACCURACY, "sentiment", 0.7)
    assert report_numbers(ROWS, {}, {"sentiment": accuracy(0.7)})["sentiment_accuracy"] == 0.7


def test_a_loss_that_the_registry_does_not_have_is_among_the_losses():
    after = {**AFTER, "stories": loss({})}
    assert loss_rows(BEFORE, after)[-1] == {"name": "stories", "before": None, "after": 1.0}
    assert report_numbers(ROWS, BEFORE, after)["stories"] == 1.0


def test_the_json_has_its_keys_whatever_was_evaluated():
    names = [f"choice_{direction}_accuracy" for direction in ("s2t", "t2s", "s2s", "t2t")]
    names += ["wer_s2t", "wer_t2s", "wer_t2s_audio", "token_rates"]
    keys = [name + suffix for name in names for suffix in ("", "_interval", "_before")]
    keys += ["n_pairs", "loss_by_modality", "loss_by_modality_before"]
    keys += ["steps", "tokens", "tokens_per_second", "wall_seconds"]
    assert list(report_numbers(ROWS, {}, {})) == list(report_numbers(ROWS, BEFORE, AFTER)) == keys


def test_the_json_has_keys_of_another_task_where_it_was_evaluated():
    numbers = report_numbers(ROWS, {}, {"ears_reading": error_rate(0.4)})
    assert (numbers["ears_reading"], numbers["ears_reading_before"]) == (0.4, None)
    assert "ears_recording" not in numbers
    assert [tile["value"] for tile in tiles(numbers)] == ["0.400"]


def test_transcripts_have_the_title_and_description_of_their_task():
    ((title, description, examples),) = transcripts(AFTER)
    assert (title, description) == (TASKS["wer_s2t"].title, TASKS["wer_s2t"].description)
    assert examples == [{"reference": "a", "transcript": "b"}]


def test_facts_are_readable():
    assert dict(facts(report_numbers(ROWS, BEFORE, AFTER), 960_000))["training time"] == "0 min 27 s"
