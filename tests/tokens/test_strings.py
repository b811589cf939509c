"""Token strings: round trips, one rule behind fast and slow ways, prompts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spirit_jax.core.errors import UserError
from spirit_jax.tokens import strings
from spirit_jax.tokens.streams import MISSING_STYLES, SpeechTokens
from spirit_jax.tokens.strings import (
    carry,
    parse,
    parse_prompt,
    parse_stream,
    render,
    render_stream,
    string_to_units,
    units_to_string,
)
from spirit_jax.tokens.vocabulary import Kind, Vocabulary, merge

VOCABULARY = Vocabulary.expressive(300)
codes = st.lists(st.integers(0, 12) | st.integers(0, 20_000), max_size=40).map(
    lambda values: np.array(values, np.int32)
)
streams = st.lists(st.tuples(st.sampled_from(Kind), st.integers(0, 12) | st.integers(0, 99_999)), max_size=40)
fragments = [
    "[Hu3]",
    "[Hu012]",
    "[Hu12345]",
    "[Hu1:2]",
    "[Pi7]",
    "[Pi6/]",
    "[Pi63]",
    "[St99]",
    "[Text]",
    "[Speech]",
]
fragments += ["[", "]", "Hu", "Hu4]", "[Pi", "[St", "é", "²", "5", "]]", "word "]
messes = st.lists(st.sampled_from(fragments), max_size=12).map("".join)


def encode(text):
    return [3 + byte for byte in text.encode()]


@given(codes, codes, codes)
@settings(max_examples=200)
def test_parse_undoes_render_for_any_units(units, pitch, style):
    kind, code = parse_stream(render(SpeechTokens(units, pitch, style), deduplicate=False))
    for which, wanted in ((Kind.UNIT, units), (Kind.PITCH, pitch), (Kind.STYLE, style)):
        np.testing.assert_array_equal(code[kind == which], wanted)
    np.testing.assert_array_equal(parse(render(SpeechTokens(units), deduplicate=False)).units, units)


@given(streams)
@settings(max_examples=200)
def test_parse_undoes_render_for_any_stream(stream):
    kind, code = np.array([k for k, _ in stream], np.int8), np.array([c for _, c in stream], np.int32)
    for found, wanted in zip(parse_stream(render_stream(kind, code)), (kind, code)):
        np.testing.assert_array_equal(found, wanted)
        assert found.dtype == wanted.dtype


@given(codes, codes, codes)
@settings(max_examples=200)
def test_rendering_is_the_merged_stream_and_what_the_release_writes(units, pitch, style):
    speech = SpeechTokens(units, pitch, style)
    words = {"hubert": units, "pitch": pitch, "style": style}
    released = units_to_string(
        {name: " ".join(map(str, code)) for name, code in words.items()}, has_pitch=True, has_style=True
    )
    assert render(speech) == render_stream(*merge(speech)[:2]) == released


@given(messes, st.booleans())
@settings(max_examples=500)
def test_fast_and_slow_ways_agree(string, repeat):
    fast = strings._parse_fast(string) if string.isascii() else None
    kind, values = strings._split(string)
    if fast is not None:
        np.testing.assert_array_equal(fast[0], kind)
        assert fast[1].tolist() == [int(value) for value in values]
    if all(value.isdecimal() for value in values):
        agree(string, repeat)
    else:
        with pytest.raises(UserError, match="must hold a number"):
            parse_stream(string)


def agree(string, repeat):
    """`parse` and `string_to_units` say the same."""
    try:
        wanted = string_to_units(string, repeat)
    except TypeError:
        with pytest.raises(UserError, match="no unit"):
            parse(string, repeat, MISSING_STYLES[0])
        return
    found = parse(string, repeat, MISSING_STYLES[0])
    for name, code in (("hubert", found.units), ("pitch", found.pitch), ("style", found.style)):
        assert (code is None) == (name not in wanted)
        if code is not None:
            assert code.tolist() == [int(word) for word in wanted[name].split()]


@given(streams.filter(bool), st.integers(1, 40))
def test_long_strings_are_read_in_blocks(stream, block):
    string = "".join(f"[{('St', 'Pi', 'Hu')[kind]}{code % 10_000}]" for kind, code in stream)
    whole = strings._parse_fast(string)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strings, "_BLOCK", block)
        for found, wanted in zip(strings._parse_fast(string), whole, strict=True):
            np.testing.assert_array_equal(found, wanted)


@given(streams, st.booleans())
def test_carrying_gives_each_unit_the_codes_in_force(stream, repeat):
    kind, code = np.array([k for k, _ in stream], np.int8), np.array([c for _, c in stream], np.int32)
    if repeat and Kind.UNIT not in kind:
        return
    speech = carry(kind, code, repeat, MISSING_STYLES[0])
    first = {k: int(code[kind == k][0]) if (kind == k).any() else None for k in Kind}
    now, rows, last = dict(first), [], None
    for k, c in stream:
        now[k] = c
        if k is Kind.UNIT or (repeat and k is Kind.PITCH and last is Kind.PITCH):
            rows.append((now[Kind.UNIT], now[Kind.PITCH], now[Kind.STYLE]))
        last = last if k is Kind.STYLE else k
    missing = MISSING_STYLES[0]
    assert speech.units.tolist() == [unit for unit, _, _ in rows]
    assert (None if speech.pitch is None else speech.pitch.tolist()) == (
        None if first[Kind.PITCH] is None else [pitch for _, pitch, _ in rows]
    )
    if first[Kind.STYLE] is not None or speech.pitch is not None:
        assert speech.style.tolist() == [missing if style is None else style for _, _, style in rows]
    else:
        assert speech.style is None


def test_a_negative_code_is_refused():
    with pytest.raises(UserError, match="must not be negative"):
        render(SpeechTokens(np.array([3, -1])))


def test_a_style_for_pitch_without_style_can_be_chosen():
    assert parse("[Pi1][Hu2][Hu3]", missing_style=98).style.tolist() == [98, 98]
    assert parse("[Pi1][Hu2][Hu3]").style is None
    assert string_to_units("[Pi1][Hu2][Hu3]", missing_style=68)["style"] == "68 68"


def test_prompt_strings_become_ids():
    ids = parse_prompt("[Text]a b[Speech][St1][Pi2][Hu500]", VOCABULARY, encode)
    speech = [VOCABULARY.style_start + 1, VOCABULARY.pitch_start + 2, VOCABULARY.unit_start + 500]
    assert ids.tolist() == [VOCABULARY.text_tag, *encode("a b"), VOCABULARY.speech_tag, *speech]
    assert ids.dtype == np.int32
    assert parse_prompt("", VOCABULARY, encode).tolist() == []


@pytest.mark.parametrize("text", ["[Hu]", "[Hu01]", "[Hu3", "[hu3]", "[Tex]", "[Hu 3]", "[Hux]"])
def test_what_is_no_token_stays_text(text):
    assert parse_prompt(text, VOCABULARY, encode).tolist() == encode(text)


@pytest.mark.parametrize(
    ("string", "vocabulary"),
    [
        ("[Hu501]", VOCABULARY),
        ("[St" + "9" * 30 + "]", VOCABULARY),
        ("[Pi1]", Vocabulary.base(300)),
        ("[Text]a", Vocabulary.text_only(300)),
    ],
)
def test_a_token_that_the_vocabulary_lacks_is_refused(string, vocabulary):
    with pytest.raises(UserError):
        parse_prompt(string, vocabulary, encode)
