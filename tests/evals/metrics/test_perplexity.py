import math

import numpy as np
import pytest

from spirit_jax.evals.metrics.perplexity import auto_bleu, estimate_auto_bleu, estimate_perplexity


def test_perplexity_weighs_tokens_not_texts():
    found = estimate_perplexity(np.array([2 * math.log(4), 6 * math.log(2)]), np.array([2, 6]))
    assert found.value == pytest.approx(2 ** (10 / 8))
    assert found.interval == pytest.approx((2, 4))
    assert found.n == 2


def test_equal_texts_have_no_spread():
    found = estimate_perplexity(np.full(20, 3 * math.log(7)), np.full(20, 3))
    assert (found.value, *found.interval) == pytest.approx((7, 7, 7))


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("a b c d", 0.0),
        ("a b a b", 2 / 3),  # ab, ba, ab
        ("a a a a", 1.0),
        ("a b c a b d e", 2 / 6),
        ("The cat. THE CAT!", 2 / 3),
        ("नदी का नदी का", 2 / 3),
        ("alone", None),
        ("?!", None),
        ("", None),
    ],
)
def test_auto_bleu_is_the_share_of_bigrams_that_occur_again(text, share):
    assert auto_bleu(text) == (share if share is None else pytest.approx(share))


def test_auto_bleu_of_other_n():
    assert auto_bleu("a b a", 1) == pytest.approx(2 / 3)
    assert auto_bleu("a b c a b c", 3) == pytest.approx(2 / 4)


def test_texts_without_bigrams_do_not_count():
    found = estimate_auto_bleu(["a a a", "a b c", "alone", ""])
    assert (found.value, found.n) == (0.5, 2)
    assert estimate_auto_bleu(["alone"]).value is None
