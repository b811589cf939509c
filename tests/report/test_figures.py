import re

import numpy as np
import pytest

from spirit_jax.evals.suites.continuations import words_of
from spirit_jax.report.figures import loss_curves, running_mean, series, utterance
from spirit_jax.tokens.streams import duration_s
from tests.generation.world import record, tokenizer, vocabulary

ROWS = [{"step": 10 * i, "loss_text": 3.0 / i, "loss_speech": 5.0 / i} for i in range(1, 60)] + [
    {"step": 590, "validation_loss_text": 1.0}
]


def draw(expressive=False):
    one, streams = record(7, expressive), vocabulary(expressive).streams
    return utterance(
        one,
        words_of(one, tokenizer()),
        np.sin(np.arange(int(duration_s(one.speech, streams) * 16_000))).astype(np.float32),
        streams,
    )


@pytest.mark.parametrize("svg", [loss_curves(ROWS), draw(True)], ids=["loss", "utterance"])
def test_figures_take_their_colours_from_the_page(svg):
    assert svg.startswith("<svg ")
    assert "var(--speech)" in svg
    assert not re.findall(r"(?:fill|stroke): #(?!ffffff)", svg)


def test_the_same_figure_is_the_same_text():
    assert loss_curves(ROWS) == loss_curves(ROWS)
    assert draw() == draw()


def test_an_utterance_shows_its_words_and_one_box_a_run():
    one = record(7)
    svg = draw()
    for word in words_of(one, tokenizer()):
        assert f">{word}</text>" in svg
    runs = 1 + np.count_nonzero(np.diff(one.speech.units))
    drawn = re.findall(r">(\d+)</text>", svg)
    assert len(drawn) == runs
    assert drawn == [
        str(code) for code in one.speech.units[np.flatnonzero(np.diff(one.speech.units, prepend=-1))]
    ]


def test_pitch_and_style_have_lanes_only_where_there_are_any():
    assert ">pitch</text>" in draw(True)
    assert ">style</text>" in draw(True)
    assert ">pitch</text>" not in draw(False)


def test_a_run_without_rows_still_has_a_figure():
    assert loss_curves([]).startswith("<svg ")


def test_series_takes_only_the_rows_that_have_the_key():
    steps, values = series(ROWS, "validation_loss_text")
    assert (steps.tolist(), values.tolist()) == ([590], [1.0])


def test_running_mean_keeps_lines_and_length():
    line = np.arange(20.0)
    np.testing.assert_allclose(running_mean(line, 3)[3:-3], line[3:-3])
    assert len(running_mean(line, 3)) == 20
    assert running_mean(line, 3)[0] == np.mean(line[:4])
