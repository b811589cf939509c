"""Word error rate."""

import re
import unicodedata

import jiwer
import numpy as np

from spirit_jax.evals.metrics.intervals import Estimate, estimate_ratio


def normalise(text: str) -> str:
    """Lower case, no punctuation, single spaces; apostrophes inside a word stay.

    >>> normalise("The cat's  hat, RED.")
    "the cat's hat red"
    """
    text = unicodedata.normalize("NFKC", text).lower().replace("\u2019", "'")
    text = re.sub(r"[^\w\s']|_", " ", text)
    return " ".join(word.strip("'") for word in text.split() if word.strip("'"))


def count_errors(reference: str, hypothesis: str) -> tuple[int, int]:
    """Substituted, deleted and inserted words, and the words of the reference. Both texts are normalised."""
    reference, hypothesis = normalise(reference), normalise(hypothesis)
    if not reference:
        return len(hypothesis.split()), 0
    found = jiwer.process_words(reference, hypothesis)
    return found.substitutions + found.deletions + found.insertions, len(reference.split())


def word_error_rate(references: list[str], hypotheses: list[str], seed: int = 0) -> Estimate:
    """Errors of the whole corpus for each word of the references, with an interval over utterances."""
    counts = np.array(
        [
            count_errors(reference, hypothesis)
            for reference, hypothesis in zip(references, hypotheses, strict=True)
        ]
    ).reshape(-1, 2)
    return estimate_ratio(counts[:, 0], counts[:, 1], seed)
