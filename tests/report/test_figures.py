import re

import numpy as np

from spirit_jax.report.figures import loss_curves, running_mean, series

ROWS = [{"step": 10 * i, "loss_text": 3.0 / i, "loss_speech": 5.0 / i} for i in range(1, 60)] + [
    {"step": 590, "validation_loss_text": 1.0}
]


def test_curves_take_their_colours_from_the_page():
    svg = loss_curves(ROWS)
    assert svg.startswith("<svg ")
    assert "var(--speech)" in svg
    assert not re.findall(r"(?:fill|stroke): #(?!ffffff)", svg)


def test_the_same_curves_are_the_same_text():
    assert loss_curves(ROWS) == loss_curves(ROWS)


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
