"""The places of timed words in a text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.segmentation.texts import UNKNOWN, find_places

tokens = st.text("abcÄß7.,!?—-'\"()", min_size=1, max_size=6)
gaps = st.text(" \t\n\u00a0\u3000", min_size=1, max_size=3)


def cut(text, words):
    """The text at every place where it can be cut."""
    places = find_places(text, words)
    begins = [place for place in places.begin_W.tolist() if place != UNKNOWN]
    return [text[a:b] for a, b in zip(begins, [*begins[1:], len(text)])]


@given(st.lists(st.tuples(tokens, gaps), min_size=1, max_size=30), st.data())
def test_the_parts_of_any_text_joined_are_the_text(pairs, data):
    text = data.draw(st.sampled_from(["", " ", "\n\n"])) + "".join(token + gap for token, gap in pairs)
    joins = data.draw(st.lists(st.booleans(), min_size=len(pairs), max_size=len(pairs)))
    words = []
    for (token, _), joined in zip(pairs, joins):
        words = [*words[:-1], f"{words[-1]} {token}"] if joined and words else [*words, token]
    assert find_places(text, words) is not None
    parts = cut(text, words)
    assert "".join(parts) == text
    if not any(joins[1:]) and all(any(c.isalnum() for c in token) for token, _ in pairs):
        assert [part.split() for part in parts] == [[token] for token, _ in pairs]


def test_punctuation_and_casing_may_differ():
    text = "  “Well,”  he SAID —\nthat is 5 o’clock!  "
    assert cut(text, ["well", "he", "said", "that", "is", "5", "oclock"]) == [
        "  “Well,”  ", "he ", "SAID —\n", "that ", "is ", "5 ", "o’clock!  ",
    ]  # fmt: skip


def test_a_text_is_not_cut_at_words_without_times():
    assert cut("a b lost c d", ["a", "b", "c", "d"]) == ["a ", "b lost c ", "d"]
    assert cut("a b — c d", ["A", "B", "C", "D"]) == ["a ", "b — ", "c ", "d"]
    assert cut("a b lost c d", ["a", "b lost", "c", "d"]) == ["a ", "b lost ", "c ", "d"]
    assert cut("a b c", ["a", "extra", "b", "c"]) == ["a b ", "c"]


@pytest.mark.parametrize(
    ("words", "ends"),
    [(["a", "b", "c"], (True, True)), (["b", "c"], (False, True)), (["a", "b"], (True, False))],
)
def test_words_without_times_at_either_end_are_seen(words, ends):
    places = find_places("a, b? c —", words)
    assert (places.starts, places.ends) == ends


def test_another_text_has_no_places():
    assert find_places("one two three four", ["nine", "ten", "eleven"]) is None
