"""Codes to waveforms: batches, chunks, durations, and codes that do not fit."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.speech.decoders import hifigan_synthesis
from spirit_jax.speech.decoders.durations import predict
from spirit_jax.speech.decoders.hifigan_synthesis import Utterance, align, synthesize
from tests.speech.decoders.test_hifigan import PLAIN, RNG, SMALL, lively


@pytest.fixture(scope="module")
def plain():
    return lively(PLAIN)


@pytest.fixture(scope="module")
def expressive():
    return lively(SMALL)


def say(units, pitch=None, style=None, speaker=None, style_id=None):
    codes = {"units": units, "pitch": pitch, "style": style}
    given = {name: np.array(values) for name, values in codes.items() if values is not None}
    return Utterance(given, speaker, style_id)


def speak(generator, utterance, predict_durations=False):
    return synthesize(generator, [utterance], predict_durations)[0]


def test_batch_is_each_alone(expressive):
    lengths = (1, 7, 40, 50)
    utterances = [
        say(RNG.integers(0, 20, n), RNG.integers(0, 6, -(-n // 2)), RNG.integers(0, 5, -(-n // 25)), n % 3)
        for n in lengths
    ]
    for n, utterance, wav in zip(lengths, utterances, synthesize(expressive, utterances)):
        assert wav.shape == (8 * n,)
        np.testing.assert_array_equal(wav, speak(expressive, utterance))


def test_chunks_with_the_stated_reach_equal_the_whole(plain, monkeypatch):
    """To 1e-6 of full scale: another length is another program, which rounds otherwise."""
    utterance = say(RNG.integers(0, 20, 150), speaker=1)
    whole = speak(plain, utterance)
    for longest in (64, 2 * plain.cfg.reach):
        monkeypatch.setattr(hifigan_synthesis, "LONGEST", longest)
        np.testing.assert_allclose(speak(plain, utterance), whole, atol=1e-6)


def test_durations(plain):
    units = np.array([3, 3, 7, 9])
    durations = predict(plain, [units, units[:1]])
    assert durations[0].min() >= 1
    np.testing.assert_array_equal(durations[1], predict(plain, [units[:1]])[0])
    assert len(speak(plain, say(units), predict_durations=True)) == 8 * durations[0].sum()


@pytest.mark.parametrize(
    ("log_duration", "frames"), [(-9.0, 1), (np.log(3.5), 2), (np.log(4.5), 4), (np.log(7.2), 6)]
)
def test_durations_round_halves_to_even(plain, monkeypatch, log_duration, frames):
    monkeypatch.setattr(
        type(plain),
        "log_durations",
        lambda self, units, stop: jnp.full(units.shape, log_duration, jnp.float32),
    )
    jax.clear_caches()
    assert predict(plain, [np.array([1])])[0].tolist() == [frames]
    jax.clear_caches()


@pytest.mark.parametrize(
    ("utterance", "says"),
    [
        (say([]), "nothing"),
        (say([20]), "0 to 19"),
        (say([-1]), "0 to 19"),
        (say([1], speaker=3), "0 to 2"),
        (say([1], style_id=0), "style id"),
        (say([1], pitch=[1]), "streams to be spoken = units, pitch"),
    ],
)
def test_codes_that_do_not_fit(plain, utterance, says):
    with pytest.raises(UserError, match=says):
        speak(plain, utterance)


@pytest.mark.parametrize(("pitches", "fits"), [(3, False), (4, True), (6, True), (7, False)])
def test_streams_fit_to_within_one_code(expressive, pitches, fits):
    utterance = say(range(10), [1] * pitches, [0])
    if fits:
        assert len(speak(expressive, utterance)) == 80
        return
    with pytest.raises(UserError, match="within 1 code"):
        speak(expressive, utterance)
    with pytest.raises(UserError, match="pitch codes = none"):
        speak(expressive, say([1], [], [0]))


def test_each_segment_of_long_audio_may_end_with_a_part_of_a_code():
    cfg = dataclasses.replace(SMALL, hop=640, pitch_hop=1280, style_hop=16000)
    codes = {
        "dict": np.zeros(3 * 2499, int),
        "f0_dict": np.arange(3 * 1250),
        "style_dict": np.zeros(3 * 100, int),
    }
    aligned = align(cfg, codes)
    assert {len(values) for values in aligned.values()} == {3 * 2499}
    np.testing.assert_array_equal(aligned["f0_dict"], np.arange(3 * 2499) // 2)
    with pytest.raises(UserError, match="within 3 codes"):
        align(cfg, codes | {"f0_dict": np.arange(3 * 1250 + 3)})


def test_predicted_durations_need_a_code_for_each_unit(expressive):
    with pytest.raises(UserError, match="one for each of the 3 units"):
        speak(expressive, say([1, 2, 3], [1, 1], [1, 1, 1]), predict_durations=True)
    with pytest.raises(UserError, match="no duration predictor"):
        predict(lively(dataclasses.replace(PLAIN, duration_width=0)), [np.array([1])])
