import pytest

from data_prep.alignment.spelling import spell
from data_prep.alignment.times import NotAligned, Timed, assemble

A, B, C = Timed(0.1, 0.3, 1.0), Timed(0.3, 0.5, 0.5), Timed(0.6, 0.9, 0.5)


def test_words_keep_their_times_and_writing():
    found = assemble(spell(["One,", "two", "three!"]), [A, B, C], 1.0)
    assert found.words == [["One,", 0.1, 0.3], ["two", 0.3, 0.5], ["three!", 0.6, 0.9]]
    assert found.scores == [1.0, 0.5, 0.5]
    assert found.score == pytest.approx((0.2 + 0.1 + 0.15) / 0.7, abs=1e-3)
    assert found.joined == 0


def test_a_silent_word_is_joined_without_time():
    found = assemble(spell(["one", "—", "two"]), [A, None, C], 1.0)
    assert found.words == [["one —", 0.1, 0.3], ["two", 0.6, 0.9]]
    assert found.joined == 0


def test_a_spoken_word_without_times_is_joined_and_its_sound_belongs_to_the_entry():
    found = assemble(spell(["one", "blorp", "two"]), [A, None, C], 1.0)
    assert found.words == [["one blorp", 0.1, 0.6], ["two", 0.6, 0.9]]
    assert found.joined == 1


def test_words_without_times_at_the_ends_reach_to_the_ends_of_the_sound():
    found = assemble(spell(["blorp", "one", "blorp"]), [None, A, None], 1.0)
    assert found.words == [["blorp one blorp", 0.0, 1.0]]
    assert found.joined == 2


def test_words_do_not_overlap():
    found = assemble(spell(["one", "two"]), [Timed(0.1, 0.7), B], 1.0)
    assert found.words[0][2] <= found.words[1][1]
    assert found.score is None
    assert found.scores == [None, 0.5]


def test_no_text_is_lost():
    text = "... one [x] two (three) four ..."
    found = assemble(spell(text.split()), [None, A, None, B, None, C, None], 1.0)
    assert " ".join(word for word, _, _ in found.words) == text


def test_without_any_times_it_is_not_aligned():
    with pytest.raises(NotAligned, match="no_times"):
        assemble(spell(["one"]), [None], 1.0)
