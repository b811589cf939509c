"""Token strings: round trips, the codes in force, what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spirit_jax.core.errors import UserError
from spirit_jax.tokens.streams import PUBLISHED_BASE, PUBLISHED_EXPRESSIVE, Stream
from spirit_jax.tokens.strings import carry, parse, parse_stream, render, render_stream
from spirit_jax.tokens.vocabulary import merge
from tests.speech_codes import make_speech

OTHER = (
    Stream("units", "Hu", 9, 50.0),
    Stream("energy", "E", 5, 10.0),
    Stream("emotion", "Em", 3, 2.0, False),
)
codes = st.lists(st.integers(0, 12) | st.integers(0, 20_000), max_size=40).map(
    lambda values: np.array(values, np.int32)
)
tokens = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12) | st.integers(0, 99_999)), max_size=40)


def arrays(stream):
    return np.array([s for s, _ in stream], np.int8), np.array([c for _, c in stream], np.int32)


@given(tokens, st.sampled_from([PUBLISHED_EXPRESSIVE, OTHER]))
@settings(max_examples=200)
def test_parse_undoes_render_for_any_stream(stream, table):
    given = arrays(stream)
    for found, wanted in zip(parse_stream(render_stream(*given, table), table), given):
        np.testing.assert_array_equal(found, wanted)
        assert found.dtype == wanted.dtype


@given(codes, codes, codes)
@settings(max_examples=200)
def test_rendering_is_the_merged_stream(units, pitch, style):
    speech = make_speech(units, pitch, style)
    merged = merge(speech, PUBLISHED_EXPRESSIVE)[:2]
    for found, wanted in zip(
        parse_stream(render(speech, PUBLISHED_EXPRESSIVE), PUBLISHED_EXPRESSIVE), merged
    ):
        np.testing.assert_array_equal(found, wanted)


@given(tokens)
def test_carrying_gives_each_unit_the_codes_in_force(stream):
    stream_N, code_N = arrays(stream)
    spoken = carry(stream_N, code_N, PUBLISHED_EXPRESSIVE)
    first = {s: int(code_N[stream_N == s][0]) for s in range(3) if (stream_N == s).any()}
    now, rows = dict(first), []
    for s, c in stream:
        now[s] = c
        if s == 0:
            rows.append(dict(now))
    for index, name in enumerate(("units", "pitch", "style")):
        wanted = [row[index] for row in rows] if index in first or index == 0 else None
        found = spoken.codes[name].tolist() if name in spoken.codes else None
        assert found == wanted


def test_only_what_begins_with_a_mark_and_a_digit_counts():
    string = "[Text]word [Hu] [hu3][Hu3][Speech]Hu4] [Pi7]"
    assert parse(string.replace("[Pi7]", ""), PUBLISHED_BASE).units.tolist() == [3]
    assert parse_stream("[E3][Em1][Hu2]", OTHER)[0].tolist() == [1, 2, 0]
    assert parse("", PUBLISHED_BASE).units.tolist() == []


@pytest.mark.parametrize(
    "token", ["[Hu1a]", "[Hu12]hello", "[Hu²]", "[Hu1", "[Hu450", "[Hu37)", "[Hu" + "9" * 12 + "]"]
)
def test_a_token_without_a_number_is_refused(token):
    with pytest.raises(UserError, match="must be a number"):
        parse_stream(token + "[Hu3]" if token != "[Hu1" else token, PUBLISHED_BASE)


def test_a_negative_code_is_refused():
    with pytest.raises(UserError, match="must not be negative"):
        render(make_speech([3, -1]), PUBLISHED_BASE)
