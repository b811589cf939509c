import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.tokens.streams import SpeechTokens, SpokenUnits


def test_lasting_units_take_their_pitch_and_style_along():
    spoken = SpokenUnits(np.array([7, 3, 9]), np.array([1, 2, 4]), np.array([5, 5, 6]))
    speech = spoken.last(np.array([3, 1, 22]))
    np.testing.assert_array_equal(speech.units, [7] * 3 + [3] + [9] * 22)
    np.testing.assert_array_equal(speech.pitch, [1, 1] + [4] * 11)
    np.testing.assert_array_equal(speech.style, [5, 6])


def test_what_is_not_said_stays_so():
    speech = SpokenUnits(np.array([7, 3])).last(np.array([1, 1]))
    assert speech.pitch is None
    assert speech.style is None


def test_each_spoken_unit_has_its_codes():
    with pytest.raises(UserError, match="pitch = 1 codes"):
        SpokenUnits(np.array([7, 3]), np.array([1]))
    for kind in (SpeechTokens, SpokenUnits):
        with pytest.raises(UserError, match=f"{kind.__name__}.units"):
            kind(np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("codes", "says"),
    [
        ([1.5, 2], "1.5"),
        ([2**40], str(2**40)),
        ([10**30], "whole"),
        (["x"], "x"),
        ([[1], [2, 3]], "whole"),
        ([float("nan")], "nan"),
        (7, "one sequence"),
    ],
)
def test_codes_are_whole_numbers(codes, says):
    with pytest.raises(UserError, match=says):
        SpeechTokens(codes)
    np.testing.assert_array_equal(SpeechTokens([3.0, 4.0]).units, [3, 4])
