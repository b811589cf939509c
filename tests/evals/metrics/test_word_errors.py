import unicodedata

import pytest

from spirit_jax.evals.metrics.word_errors import (
    character_error_rate,
    count_character_errors,
    count_errors,
    normalise,
    word_error_rate,
)

SCRIPTS = {
    "Hindi": "लड़की ने किताब दी",
    "Bengali": "আমি বাংলায় গান গাই",
    "Tamil": "தமிழ் மொழி",
    "Malayalam": "മലയാളം ഭാഷ",
    "Thai": "ที่นี่มีกี่คน",
    "Burmese": "မြန်မာဘာသာ",
    "pointed Arabic": "كَتَبَ الوَلَدُ",
    "pointed Hebrew": "שָׁלוֹם עֲלֵיכֶם",
    "Yoruba": "ọjọ́ dára ẹ̀kọ́",
    "Turkish": "i\u0307stanbul",
    "Chinese": "你好世界",
}


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("The Cat, sat.", "the cat sat"),
        ("don\u2019t 'quote' it", "don't quote it"),
        ("  a -- b_c ", "a b c"),
        ("", ""),
        ("\u00c9t\u00e9!", "\u00e9t\u00e9"),
    ],
)
def test_normalise(text, plain):
    assert normalise(text) == plain
    assert normalise(plain) == plain


@pytest.mark.parametrize(
    ("reference", "hypothesis", "errors", "words"),
    [
        ("The cat sat.", "the cat sat", 0, 3),
        ("the cat sat", "the cat", 1, 3),
        ("the cat sat", "the big cat sat down", 2, 3),
        ("the cat", "a dog", 2, 2),
        ("the cat", "", 2, 2),
        ("...", "hello there", 2, 0),
    ],
)
def test_count_errors(reference, hypothesis, errors, words):
    assert count_errors(reference, hypothesis) == (errors, words)


@pytest.mark.parametrize(
    ("references", "hypotheses", "rate"),
    [
        (["hello world"], ["hello duck"], 1 / 2),
        (["hello world", "i like monty python"], ["hello duck", "i like python"], 2 / 6),
        (
            ["short one here", "quite a bit of longer sentence"],
            ["shoe order one", "quite bit of an even longest sentence here"],
            8 / 9,
        ),
    ],
)
def test_rates_are_those_of_the_examples_of_jiwers_documentation(references, hypotheses, rate):
    assert word_error_rate(references, hypotheses).value == pytest.approx(rate)


def test_the_rate_is_over_the_corpus():
    estimate = word_error_rate(["a", "b c d e f g h i j"], ["x", "b c d e f g h i j"])
    assert estimate.value == pytest.approx(0.1)
    low, high = estimate.interval
    assert low <= estimate.value <= high
    assert estimate.n == 2


@pytest.mark.parametrize("script", SCRIPTS)
def test_marks_and_letters_of_every_script_stay(script):
    text = SCRIPTS[script]
    assert normalise(text) == unicodedata.normalize("NFKC", text)
    assert normalise(f"\u201c{text}\u201d, \u2014 {text}!") == normalise(f"{text} {text}")
    assert count_errors(text, text) == (0, len(text.split()))
    assert count_errors(text, "x") == (len(text.split()), len(text.split()))


def test_a_capital_with_a_dot_is_its_small_letter_with_the_dot():
    assert normalise("\u0130stanbul") == normalise("\u0130stanbul".lower()) == SCRIPTS["Turkish"]


def test_another_vowel_sign_is_another_word():
    references, transcripts = (
        ["लड़की ने किताब दी", "नदी का पानी", "वह की"],
        ["लड़का नी कुताब दे", "नादु की पीनु", "वाह का"],
    )
    assert word_error_rate(references, transcripts).value == 1
    assert sum(count_errors(*pair)[1] for pair in zip(references, transcripts)) == 9
    assert 0 < character_error_rate(references, transcripts).value < 1


def test_invisible_characters_are_no_errors_and_cut_no_word():
    assert count_errors("می\u200cخواهم", "میخواهم") == (0, 1)
    assert count_errors("\u200fשלום\ufeff", "שלום") == (0, 1)
    assert count_errors("a \u2764\ufe0f b", "a b") == (0, 2), "the mark of a dropped character goes with it"


@pytest.mark.parametrize(
    ("reference", "hypothesis", "errors", "characters"),
    [
        ("你好世界", "你好 世界。", 0, 4),
        ("你好世界", "你号世", 2, 4),
        ("ที่นี่", "ที นี่", 1, 6),
        ("The cat", "the cab", 1, 6),
        ("", "abc", 3, 0),
        ("abc", "", 3, 3),
    ],
)
def test_characters_are_counted_without_spaces(reference, hypothesis, errors, characters):
    assert count_character_errors(reference, hypothesis) == (errors, characters)


def test_the_character_rate_is_over_the_corpus():
    estimate = character_error_rate(["你", "好世界你好世界你好"], ["他", "好世界你好世界你好"])
    assert estimate.value == pytest.approx(0.1)
    assert estimate.n == 2
