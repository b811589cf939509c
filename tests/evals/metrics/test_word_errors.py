import pytest

from spirit_jax.evals.metrics.word_errors import count_errors, normalise, word_error_rate


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


def test_the_rate_is_over_the_corpus():
    estimate = word_error_rate(["a", "b c d e f g h i j"], ["x", "b c d e f g h i j"])
    assert estimate.value == pytest.approx(0.1)
    low, high = estimate.interval
    assert low <= estimate.value <= high
    assert estimate.n == 2
