import pytest

from spirit_jax.evals.command import summarize

BOTH = {"text": {"nll": {"text": 1.0, "tag": 0.5}}, "speech": {"nll": {"speech": 2.0}}}
CHOICE = {"value": 0.9, "low": 0.8, "high": 1.0, "n": 5, "pairs": 20}


@pytest.mark.parametrize(
    ("result", "line"),
    [
        (BOTH, "text text 1.000 tag 0.500, speech speech 2.000"),
        ({"text": {"nll": {}}, "speech": BOTH["speech"]}, "speech speech 2.000"),
        ({"text": {"nll": {}}}, "nothing to measure"),
        (CHOICE, "0.900 [0.800, 1.000] of 20 pairs, 5 items"),
        ({"value": None, "n": 0}, "nothing to measure, of 0 utterances"),
    ],
)
def test_a_result_is_a_line_without_empty_parts(result, line):
    assert summarize(result) == line
