"""Perplexity of texts, and how much a text repeats itself."""

import collections
import itertools

import numpy as np

from spirit_jax.evals.metrics.intervals import Estimate, estimate_mean, estimate_ratio
from spirit_jax.evals.metrics.word_errors import normalise

N_GRAM = 2  # Lakhotia et al. 2021


def estimate_perplexity(nats: np.ndarray, tokens: np.ndarray, seed: int = 0) -> Estimate:
    """exp(sum of nats / sum of tokens) over texts [N]; the interval is that of the exponent, by text."""
    exponent = estimate_ratio(nats, tokens, seed)
    if exponent.value is None or exponent.interval is None:
        return exponent
    low, high = np.exp(exponent.interval)
    return Estimate(float(np.exp(exponent.value)), (float(low), float(high)), exponent.n)


def auto_bleu(text: str, n: int = N_GRAM) -> float | None:
    """Share of a text's n-grams of words that occur in it more than once; None for a text without n-grams.

    Auto-BLEU of Lakhotia et al. 2021. Words are those of the normal form.

    >>> auto_bleu("The cat. The cat sat")
    0.5
    """
    words = normalise(text).split()
    grams = list(zip(*(itertools.islice(words, first, None) for first in range(n))))
    counts = collections.Counter(grams)
    return sum(counts[gram] > 1 for gram in grams) / len(grams) if grams else None


def estimate_auto_bleu(texts: list[str], seed: int = 0) -> Estimate:
    """Its mean over the texts that have it, with an interval by text."""
    values = np.array([value for text in texts if (value := auto_bleu(text)) is not None])
    return estimate_mean(values, seed)
