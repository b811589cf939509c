import pytest

from data_prep.alignment.spelling import MOST_READINGS, spell
from spirit_jax.core.errors import UserError


def readings(word, language="en"):
    (spelled,) = spell([word], language)
    return [" ".join(reading) for reading in spelled.readings]


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Mute,", "mute"),
        ("o’clock", "o'clock"),
        ("non-administrator", "non administrator"),
        ("1", "one"),
        ("0", "oh"),
        ("1234", "one thousand two hundred thirty four"),
        ("1234", "twelve thirty four"),
        ("1234", "one two three four"),
        ("8500", "eighty five hundred"),
        ("1905", "nineteen oh five"),
        ("305", "three oh five"),
        ("1,234", "one thousand two hundred and thirty four"),
        ("28.8", "twenty eight point eight"),
        ("42nd", "forty second"),
        ("007", "zero zero seven"),
        ("$5", "five dollars"),
        ("$5.50", "five dollars fifty"),
        ("5%", "five percent"),
        ("#", "pound"),
        ("*", "star"),
        ("3D", "three d"),
        ("H.323", "h three two three"),
        ("A.M.", "a m"),
        ("MGCP", "m g c p"),
        ("PIN", "pin"),
        ("PIN", "p i n"),
        ("www.asterisk.org", "w w w dot asterisk dot org"),
        ("Mr.", "mister"),
        ("e.g.", "for example"),
        ("no.", "no"),
    ],
)
def test_a_written_word_has_the_reading(written, spoken):
    assert spoken in readings(written)


@pytest.mark.parametrize("written", ["—", "...", "[beep]", "😀", "<unk>", '"'])
def test_what_has_no_sound_is_silent(written):
    (spelled,) = spell([written])
    assert spelled.silent
    assert not spelled.readings


@pytest.mark.parametrize("text", ["[ascending tones]", "<beep ascending>", "(10 seconds of silence)"])
def test_a_text_that_is_a_note_is_silent(text):
    assert all(word.silent for word in spell(text.split()))


def test_words_in_parentheses_may_be_unspoken():
    spelled = spell(["Hang", "up", "(simple", "tone", "plays)", "now", "(please)"])
    assert [word.optional for word in spelled] == [False, False, True, True, True, False, True]
    assert not any(word.silent for word in spelled)


def test_an_unclosed_bracket_is_no_note():
    assert not any(word.silent or word.optional for word in spell(["a", "[b", "c", "(d"]))


def test_capitals_are_no_acronyms_in_a_text_in_capitals():
    assert all(len(word.readings) == 1 for word in spell(["THE", "CAT", "SAT", "ON", "IT"]))
    assert "i t" in readings("IT")


def test_words_of_other_scripts_keep_their_marks():
    assert readings("हिन्दी", "hi") == ["हिन्दी"]
    assert readings("été,", "fr") == ["été"]


def test_numbers_of_other_languages():
    assert readings("21", "de")[0] == "einundzwanzig"
    with pytest.raises(UserError, match="--language = xx"):
        readings("21", "xx")


def test_readings_are_few_and_distinct():
    found = readings("10.20.30.40.50-60/70")
    assert len(found) == len(set(found)) == MOST_READINGS
