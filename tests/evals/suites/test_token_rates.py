"""Bits, use and rates of speech tokens, against counts by hand."""

import dataclasses
import json

import numpy as np
import pytest

from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.results import to_json
from spirit_jax.evals.suites.token_rates import TokenRates
from spirit_jax.evals.task import measure
from tests.generation.world import UNITS, record, records, text_lm, tiny_lm
from tests.speech_codes import make_speech


def spoken(units):
    return dataclasses.replace(record(0), speech=make_speech(np.array(units)))


def measured(*units):
    return measure(TokenRates(), Evaluation(tiny_lm(), [spoken(one) for one in units]))


def test_two_units_in_turn_are_a_bit_each():
    result = measured([0, 1] * 25, [1, 0] * 25)
    assert result.value == pytest.approx(25.0)  # 25 tokens a second
    details = result.details
    assert details["entropy"] == pytest.approx(1.0)
    assert details["used"] == 2 / UNITS
    assert details["nominal"] == pytest.approx(25 * np.log2(UNITS))
    assert (details["kept"], result.n) == (1.0, 2)
    assert details["tokens_per_second"] == details["units_per_second"] == pytest.approx(25.0)


def test_repeated_units_are_one_token():
    details = measured([0, 0, 0, 1, 1, 2, 2, 2, 2, 2]).details
    assert details["kept"] == pytest.approx(0.3)
    assert details["units_per_second"] == pytest.approx(7.5)
    shares = np.array([0.3, 0.2, 0.5])
    assert details["entropy"] == pytest.approx(-(shares * np.log2(shares)).sum())


def test_one_unit_carries_nothing():
    assert measured([7] * 20, [7] * 20).value == 0.0


def test_expressive_streams_count_and_results_are_json():
    result = measure(TokenRates(), Evaluation(tiny_lm(expressive=True), records(6, expressive=True)))
    base = measure(TokenRates(), Evaluation(tiny_lm(), records(6)))
    assert result.details["nominal"] > base.details["nominal"]
    assert result.details["tokens_per_second"] > base.details["tokens_per_second"]
    assert json.loads(json.dumps(to_json(result))) == to_json(result)


def test_without_speech_there_is_nothing_to_measure():
    assert measure(TokenRates(), Evaluation(tiny_lm(), [])).value is None
    assert "text-only" in measure(TokenRates(), Evaluation(text_lm(), records(2))).details["not_measured"]
