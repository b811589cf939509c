import multiprocessing

import numpy as np
import pytest

from data_prep.pico import Voice, speak
from spirit_jax.core.errors import UserError
from spirit_jax.speech.encoders.f0 import track_f0

TEXT = "today the brave sailor reached the busy harbor, and coiled ropes boldly"


def median_f0(wav: np.ndarray) -> float:
    """In Hz, of the voiced frames."""
    (f0,) = track_f0([wav.astype(np.float32) / 32768])
    return float(np.median(f0[f0 > 0]))


def test_equal_arguments_give_equal_samples_whatever_was_said_before():
    """In a fresh process, as `synthesize` has them: in this one JAX's commands may have set how memory is
    reused.
    """
    said = [(TEXT, Voice("en-US")), ("another sentence", Voice("en-GB", 1.3, 0.8)), (TEXT, Voice("en-US"))]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        first, other, again = pool.starmap(speak, said)
    assert first.dtype == other.dtype == np.int16
    np.testing.assert_array_equal(again, first)
    assert 2 < len(first) / 16_000 < 8
    assert np.abs(first).max() > 3000


def test_speed_and_pitch_are_heard():
    plain, fast, low = (speak(TEXT, Voice("en-GB", *how)) for how in ((1, 1), (1.3, 1), (1, 0.8)))
    assert len(fast) < 0.9 * len(plain)
    assert median_f0(low) == pytest.approx(0.8 * median_f0(plain), rel=0.08)


@pytest.mark.parametrize("text", ["", " ", "a <b> c", "you & me"])
def test_texts_that_it_would_not_say_as_they_are_written_are_refused(text):
    with pytest.raises(UserError, match="must have words"):
        speak(text, Voice("en-US"))


@pytest.mark.parametrize("values", [("en-US", 6.0, 1.0), ("en-US", 1.0, 0.4)])
def test_values_that_it_would_clip_are_refused(values):
    with pytest.raises(UserError, match="speed is"):
        Voice(*values)


def test_an_unknown_voice_is_named_with_those_there_are():
    with pytest.raises(UserError, match="en-GB"):
        speak(TEXT, Voice("xx"))
