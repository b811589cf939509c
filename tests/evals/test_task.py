import pytest

from spirit_jax.evals.task import Result, ResultKind


@pytest.mark.parametrize(
    ("kind", "details", "extent", "chance"),
    [
        (ResultKind.ACCURACY, {"pairs": 20}, "20 pairs, 5 items", 0.5),
        (ResultKind.ACCURACY, {}, "5 items", None),
        (ResultKind.WORD_ERROR_RATE, {}, "5 utterances", None),
        (ResultKind.LOSS, {}, "5 records", None),
    ],
)
def test_a_result_says_what_it_was_measured_on(kind, details, extent, chance):
    result = Result(0.5, (0.4, 0.6), 5, kind, details)
    assert (result.extent, result.chance) == (extent, chance)


@pytest.mark.parametrize("kind", ResultKind)
def test_every_kind_has_a_title_and_a_direction(kind):
    assert kind.title
    assert kind.higher_is_better == (kind is ResultKind.ACCURACY)
