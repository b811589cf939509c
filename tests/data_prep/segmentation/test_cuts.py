"""The choice of cuts: short enough, at the longest silences, never in speech."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.segmentation.cuts import MARGIN_S, Gaps, Lengths, choose_cuts
from spirit_jax.core.errors import UserError


def make_gaps(speech, silences, points=()):
    """Gaps of speech and silence in turn, that begins and ends with silence. points: numbers of gaps that are
    points between words.
    """
    lengths = np.zeros(len(speech) + len(silences))
    lengths[::2], lengths[1::2] = silences, speech
    edges = np.append(0, np.cumsum(lengths))
    begin_G, end_G = edges[::2].copy(), edges[1::2].copy()
    silent_G = np.array([g not in points for g in range(len(begin_G))])
    begin_G[~silent_G] = end_G[~silent_G] = (begin_G + end_G)[~silent_G] / 2
    return Gaps(begin_G, end_G, silent_G, np.where(silent_G, 0.0, -30.0 - np.arange(len(begin_G))))


lengths_of_speech = st.lists(st.floats(0.2, 9.0), min_size=1, max_size=40)


@given(lengths_of_speech, st.data())
def test_parts_are_short_enough_and_hold_all_speech_once(speech, data):
    silences = data.draw(st.lists(st.floats(0.3, 5.0), min_size=len(speech) + 1, max_size=len(speech) + 1))
    gaps, lengths = make_gaps(speech, silences), Lengths(1.0, 10.0, 0.3)
    parts = choose_cuts(gaps, lengths)
    assert [part.first for part in parts] == [0, *[part.last for part in parts[:-1]]]
    assert parts[-1].last == len(speech)
    for part in parts:
        assert part.end - part.begin <= lengths.longest
        assert part.begin <= gaps.end_G[part.first]
        assert part.end >= gaps.begin_G[part.last]
        assert gaps.end_G[part.first] - part.begin <= MARGIN_S + 1e-9
        assert part.end - gaps.begin_G[part.last] <= MARGIN_S + 1e-9
    for before, after in zip(parts, parts[1:]):
        assert before.end <= after.begin, "no sound is in two parts"


def test_the_longest_silences_are_cut_first():
    gaps = make_gaps([4, 4, 4, 4], [0.5, 0.4, 0.9, 0.4, 0.5])
    assert [part[:2] for part in choose_cuts(gaps, Lengths(1.0, 10.0, 0.3))] == [(0, 2), (2, 4)]


def test_a_silence_that_would_leave_too_little_is_cut_last():
    gaps = make_gaps([0.5, 8, 8], [0, 2.0, 0.4, 0])
    assert [part[:2] for part in choose_cuts(gaps, Lengths(2.0, 12.0, 0.3))] == [(0, 2), (2, 3)]
    assert [part[:2] for part in choose_cuts(gaps, Lengths(2.0, 8.6, 0.3))] == [(0, 1), (1, 2), (2, 3)]


def test_without_silence_the_quietest_point_between_words_is_cut():
    gaps = make_gaps([6, 6, 6], [0, 0.05, 0.05, 0], points=(1, 2))
    parts = choose_cuts(gaps, Lengths(2.0, 13.0, 0.3))
    assert [part[:2] for part in parts] == [(0, 2), (2, 3)]
    assert parts[0].end == parts[1].begin == pytest.approx(12.075)


def test_without_a_gap_a_part_stays_too_long():
    (part,) = choose_cuts(make_gaps([50], [1, 1]), Lengths())
    assert part.end - part.begin == pytest.approx(50 + 2 * MARGIN_S)


def test_long_silences_at_either_end_are_left_out():
    (part,) = choose_cuts(make_gaps([5], [100, 200]), Lengths())
    assert (part.begin, part.end) == pytest.approx((100 - MARGIN_S, 105 + MARGIN_S))


@pytest.mark.parametrize("wrong", [{"longest": 0}, {"silence": 0}, {"shortest": 20}, {"shortest": -1}])
def test_lengths_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UserError, match="lengths"):
        Lengths(**wrong)
