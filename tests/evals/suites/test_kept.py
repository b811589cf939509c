"""What sound keeps of F0 and style, with codecs that keep all, half or nothing."""

import dataclasses
import types

import numpy as np
import pytest

from spirit_jax.evals.evaluation import Evaluation
from spirit_jax.evals.registry import KEPT
from spirit_jax.evals.task import measure
from spirit_jax.speech import audio
from tests.generation.world import records, vocabulary
from tests.speech_codes import make_speech

SECONDS = np.arange(32_000) / 16_000


def hum(hz):
    """Two seconds of a buzz."""
    return (0.2 * np.sign(np.sin(2 * np.pi * hz * SECONDS))).astype(np.float32)


class Hum:
    """Whatever the codes, a buzz of one F0; it reads the styles that it is given."""

    def __init__(self, hz, styles=()):
        self.hz, self.styles = hz, styles

    def decode(self, speech):
        return hum(self.hz)

    def encode_batch(self, wavs):
        return [make_speech(np.zeros(50), np.zeros(25), np.array(self.styles)) for _ in wavs]


def ask(name, codec, known, expressive=True, recordings=None):
    lm = types.SimpleNamespace(codec=codec, vocabulary=vocabulary(expressive), arrangements=frozenset())
    return measure(KEPT[name], Evaluation(lm, known, recordings=recordings or {}))


def styled(*styles):
    speeches = [make_speech(np.zeros(50), np.zeros(25), np.array(one)) for one in styles]
    return [dataclasses.replace(one, speech=speech) for one, speech in zip(records(9), speeches)]


@pytest.fixture
def recordings(tmp_path):
    for one in records(3):
        audio.save(tmp_path / f"{one.id}.wav", hum(120))
    return {one.id: {"id": one.id, "audio": str(tmp_path / f"{one.id}.wav")} for one in records(3)}


@pytest.mark.parametrize(("hz", "rate"), [(120, 0), (130, 0), (180, 1)])
def test_f0_is_kept_within_a_fifth(recordings, hz, rate):
    result = ask("kept_f0", Hum(hz), records(3), recordings=recordings)
    assert result.value == pytest.approx(rate, abs=0.02)
    assert (result.n, result.details["set_aside"]) == (3, {})


def test_recordings_that_are_not_there_are_counted(recordings):
    del recordings[records(3)[1].id]
    result = ask("kept_f0", Hum(120), records(3), recordings=recordings)
    assert (result.n, result.details["set_aside"]) == (2, {"no_recording": 1})
    assert "--manifest" in ask("kept_f0", Hum(120), records(3)).details["not_measured"]


def test_style_codes_are_compared_by_the_second():
    result = ask("kept_style", Hum(120, [1, 2]), styled([1, 2], [1, 3], [4, 3]))
    assert result.value == pytest.approx(3 / 6)
    assert result.details["chance"] == pytest.approx(2 / 6)  # of the next record's codes
    assert result.chance == result.details["chance"]


def test_a_codec_without_styles_is_not_asked_for_them():
    assert "no style" in ask("kept_style", Hum(120), records(3), expressive=False).details["not_measured"]
