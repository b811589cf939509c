"""The table of streams, and an utterance's codes."""

import dataclasses

import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.tokens.streams import (
    PUBLISHED_BASE,
    PUBLISHED_EXPRESSIVE,
    SpeechTokens,
    SpokenUnits,
    Stream,
    check_streams,
    describe_streams,
    duration_s,
    excerpt,
    lengthen,
    pitch_stream,
    resized_streams,
    streams_from_dicts,
    unit_stream,
)
from tests.speech_codes import make_speech, make_spoken

AT_50_HZ = (unit_stream(100, 50.0), pitch_stream(8, 12.5))


def test_a_table_comes_back_from_its_json():
    for table in (PUBLISHED_EXPRESSIVE, AT_50_HZ, ()):
        stored = [stream.to_dict() for stream in table]
        assert streams_from_dicts(stored) == table
        assert [stream.to_dict() for stream in streams_from_dicts(stored)] == stored
    with pytest.raises(UserError, match="stream keys"):
        streams_from_dicts([{**PUBLISHED_BASE[0].to_dict(), "colour": 1}])


@pytest.mark.parametrize(
    "table",
    [
        PUBLISHED_EXPRESSIVE[1:],
        PUBLISHED_BASE * 2,
        (*PUBLISHED_BASE, Stream("tone", "Hu", 3, 1.0)),
        (*PUBLISHED_BASE, Stream("tone", "Text", 3, 1.0)),
    ],
)
def test_a_table_begins_with_units_and_has_each_name_and_mark_once(table):
    with pytest.raises(UserError, match="streams"):
        check_streams(table)


@pytest.mark.parametrize(
    "change",
    [{"name": "text"}, {"name": "a b"}, {"mark": "H1"}, {"size": 0}, {"rate": 0.0}, {"merge_rate": -1.0}],
)
def test_impossible_streams_are_refused(change):
    with pytest.raises(UserError):
        dataclasses.replace(PUBLISHED_BASE[0], **change)


def test_the_published_table_in_other_sizes():
    assert resized_streams({"units": 501, "pitch": 64, "style": 100}) == PUBLISHED_EXPRESSIVE
    assert [stream.name for stream in resized_streams({"units": 9, "style": 3})] == ["units", "style"]
    assert resized_streams({}) == ()
    assert describe_streams(resized_streams({"units": 9, "pitch": 3})) == "9 units, 3 pitch"


def test_published_units_merge_at_their_rate():
    assert PUBLISHED_BASE[0].times_per_second == 24.99
    assert unit_stream(9, 25.0).times_per_second == 25.0


def test_streams_that_differ_in_their_merge_rate_have_the_same_codes():
    """So shards and runs of an earlier version fit a codec that states another one."""
    assert unit_stream(501, 25.0) == PUBLISHED_BASE[0]
    assert unit_stream(501, 24.99) != PUBLISHED_BASE[0]


def test_lengthened_units_keep_their_other_codes():
    spoken = make_spoken([7, 3, 9], [1, 2, 4], [5, 5, 6])
    speech = lengthen(spoken, np.array([3, 1, 22]), PUBLISHED_EXPRESSIVE)
    np.testing.assert_array_equal(speech.units, [7] * 3 + [3] + [9] * 22)
    np.testing.assert_array_equal(speech.codes["pitch"], [1, 1] + [4] * 11)
    np.testing.assert_array_equal(speech.codes["style"], [5, 6])
    at_50 = lengthen(make_spoken([7, 3], [1, 2]), np.array([6, 3]), AT_50_HZ)
    assert (at_50.units.tolist(), at_50.codes["pitch"].tolist()) == ([7] * 6 + [3] * 3, [1, 1, 2])


def test_a_stream_that_is_not_mentioned_stays_absent():
    assert lengthen(make_spoken([7, 3]), np.array([1, 1]), PUBLISHED_EXPRESSIVE).codes.keys() == {"units"}


def test_times_of_an_excerpt_count_on_each_rate():
    speech = make_speech(np.arange(100), np.arange(50), np.arange(4))
    assert duration_s(speech, PUBLISHED_EXPRESSIVE) == 4.0
    part = excerpt(speech, 1.0, 2.0, PUBLISHED_EXPRESSIVE)
    assert part.units.tolist() == list(range(25, 50))
    assert part.codes["pitch"].tolist() == list(range(12, 25))
    assert part.codes["style"].tolist() == [1]
    assert len(excerpt(speech, 0.0, 0.2, PUBLISHED_EXPRESSIVE).codes["style"]) == 1


def test_each_spoken_unit_has_its_codes():
    with pytest.raises(UserError, match="pitch = 1 codes"):
        make_spoken([7, 3], [1])
    for kind in (SpeechTokens, SpokenUnits):
        with pytest.raises(UserError, match=f"{kind.__name__}.units"):
            kind({"units": np.zeros((2, 3))})
        with pytest.raises(UserError, match="must include units"):
            kind({"pitch": [1]})


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
        make_speech(codes)
    np.testing.assert_array_equal(make_speech([3.0, 4.0]).units, [3, 4])
