import numpy as np

from spirit_jax.speech.encoders.word_classes import (
    LEAST_TIMES,
    MOST_WORDS,
    OUTSIDE,
    UNKNOWN,
    classify_units,
)

RATE = 25.0


def test_a_word_has_a_class_for_each_unit_that_it_lasts_on_average():
    """ "cat" lasts 4 units, "the" 2; the second utterance says it at half the speed."""
    said = [[("the", 0.0, 0.08), ("cat", 0.08, 0.24)]] * LEAST_TIMES + [[("cat", 0.04, 0.36)]]
    classes = classify_units([*said[:-1], [("cat", 0.04, 0.20)], said[-1]], [8] * 7, RATE)
    assert [len(one) for one in classes] == [8] * 7
    first = classes[0]
    assert first[6:].tolist() == [OUTSIDE] * 2
    assert len({*first[:6]} - {OUTSIDE, UNKNOWN}) == 6
    slow = classes[-1]
    assert slow[0] == OUTSIDE
    parts = len({*slow[1:]})
    assert 4 <= parts <= 5
    assert (np.diff(slow[1:]) >= 0).all()
    assert slow[1] == first[2]


def test_a_word_begins_and_ends_with_the_unit_whose_middle_is_inside():
    said = [[("a", 0.021, 0.099)]] * LEAST_TIMES
    (one, *_) = classify_units(said, [4] * LEAST_TIMES, RATE)
    assert (one == OUTSIDE).tolist() == [True, False, True, True]


def test_rare_words_and_utterances_without_times_have_no_class():
    said = [[("the", 0.0, 0.12), ("rare", 0.12, 0.24)]] + [[("the", 0.0, 0.12)]] * LEAST_TIMES + [None]
    classes = classify_units(said, [7] * len(said), RATE)
    assert classes[0][3:6].tolist() == [UNKNOWN] * 3
    assert classes[0][6] == OUTSIDE
    assert UNKNOWN not in classes[1]
    assert classes[-1].tolist() == [UNKNOWN] * 7


def test_the_most_frequent_words_have_classes():
    words = [(f"w{i}", 0.04 * i, 0.04 * (i + 1)) for i in range(MOST_WORDS + 3)]
    said = [words] * LEAST_TIMES + [words[3:]]
    last = classify_units(said, [len(words)] * len(said), RATE)[-1]
    assert (last[:3] == OUTSIDE).all()
    assert UNKNOWN not in last
    assert (classify_units(said, [len(words)] * len(said), RATE)[0][:3] == UNKNOWN).all()


def test_times_beyond_the_sound_and_words_without_length_do_no_harm():
    said = [[("the", 0.0, 0.12), ("so", 0.12, 0.12), ("end", 0.12, 9.0)]] * LEAST_TIMES
    (one, *_) = classify_units(said, [5] * LEAST_TIMES, RATE)
    assert len(one) == 5
    assert len({*one[:3]} & {*one[3:]}) == 0
