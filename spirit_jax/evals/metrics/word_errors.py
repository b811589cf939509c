"""Word and character error rates."""

import dataclasses
import functools
import unicodedata
from collections.abc import Callable

import jiwer

from spirit_jax.core.errors import UserError
from spirit_jax.evals.metrics.intervals import Estimate, estimate_rate

APOSTROPHE = "'"
ZERO_WIDTH_SPACE = "\u200b"  # separates words in Khmer and Thai


def normalise(text: str) -> str:
    """Lower case, no punctuation, single spaces; apostrophes inside a word stay.

    Letters, digits and combining marks of every script stay. Invisible format characters, such as joiners
    and marks of direction, are dropped.

    >>> normalise("The cat's  hat, RED.")
    "the cat's hat red"
    >>> normalise("नदी, का पानी!")
    'नदी का पानी'
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())
    words = "".join(map(_replace, text)).split()
    return " ".join(word for word in map(_strip, words) if word)


@dataclasses.dataclass(frozen=True)
class NormalForm:
    """How texts are normalised before they are compared. name: for results."""

    name: str
    apply: Callable[[str], str]


def _normalise_english(text: str) -> str:
    return _whisper_normalizer()(text)


@functools.cache
def _whisper_normalizer() -> Callable[[str], str]:
    try:
        from whisper_normalizer.english import EnglishTextNormalizer  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        rule = "is not installed, and the rates of this task are over texts in its normal form"
        fix = "pip install -r requirements-judges.txt"
        raise UserError("library", "whisper-normalizer", rule, fix) from error
    return EnglishTextNormalizer()


PLAIN = NormalForm("lower case, no punctuation", normalise)
# numbers as digits, American spelling, no fillers: what rates on English data sets are reported with
ENGLISH = NormalForm("English normal form of whisper-normalizer", _normalise_english)


def count_errors(reference: str, hypothesis: str, form: NormalForm = PLAIN) -> tuple[int, int]:
    """Substituted, deleted and inserted words, and the words of the reference. Both texts are normalised."""
    reference, hypothesis = form.apply(reference), form.apply(hypothesis)
    if not reference:
        return len(hypothesis.split()), 0
    found = jiwer.process_words(reference, hypothesis)
    return found.substitutions + found.deletions + found.insertions, len(reference.split())


def count_character_errors(reference: str, hypothesis: str, form: NormalForm = PLAIN) -> tuple[int, int]:
    """The same for characters: code points of the normalised texts without their spaces (our choice, so that
    texts of languages without spaces may be cut into words anywhere).
    """
    reference, hypothesis = (form.apply(text).replace(" ", "") for text in (reference, hypothesis))
    if not reference:
        return len(hypothesis), 0
    found = jiwer.process_characters(reference, hypothesis)
    return found.substitutions + found.deletions + found.insertions, len(reference)


def word_error_rate(
    references: list[str], hypotheses: list[str], seed: int = 0, form: NormalForm = PLAIN
) -> Estimate:
    """Errors of the whole corpus for each word of the references, with an interval over utterances."""
    counts = [count_errors(*pair, form) for pair in zip(references, hypotheses, strict=True)]
    return estimate_rate(counts, seed)


def character_error_rate(
    references: list[str], hypotheses: list[str], seed: int = 0, form: NormalForm = PLAIN
) -> Estimate:
    """Errors of the whole corpus for each character of the references, with an interval over utterances."""
    counts = [count_character_errors(*pair, form) for pair in zip(references, hypotheses, strict=True)]
    return estimate_rate(counts, seed)


@functools.cache
def _replace(character: str) -> str:
    """The character, an apostrophe for its typographic form, nothing for what is invisible, else a space."""
    if character in (APOSTROPHE, "\u2019"):
        return APOSTROPHE
    category = unicodedata.category(character)
    if character.isalnum() or category.startswith("M"):
        return character
    return "" if category == "Cf" and character != ZERO_WIDTH_SPACE else " "


def _strip(word: str) -> str:
    """The word from its first letter or digit on, without apostrophes at its end. Marks before it belonged to
    a character that was dropped.
    """
    start = next((i for i, character in enumerate(word) if character.isalnum()), len(word))
    return word[start:].rstrip(APOSTROPHE)
