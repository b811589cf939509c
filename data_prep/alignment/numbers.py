"""Numbers as they are spoken, by the library num2words."""

import re
from collections.abc import Iterator

from spirit_jax.core.errors import UserError

LONGEST = 15  # digits of a number that is spoken as a whole
WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
PAIRED = ("hundred", "oh")  # twenty hundred, twenty oh five


def number_readings(text: str, language: str) -> Iterator[tuple[str, ...]]:
    """The ways to say a number, the likeliest first: `1,234`, `28.8`, `42nd`.

    English has more of them: without "and", by pairs of digits (years, extensions), digit by digit.
    UserError for a language that num2words lacks.
    """
    digits = re.sub(r"\D", "", text)
    if text[-1].isalpha():
        yield from _in_words(digits, language, "ordinal")
    elif "." in text:
        yield from _in_words(text.replace(",", ""), language, "cardinal")
        yield from _digit_by_digit(digits, language)
    elif len(digits) > LONGEST or (digits[0] == "0" and len(digits) > 1):
        yield from _digit_by_digit(digits, language)
    else:
        yield from _in_words(digits, language, "cardinal")
        if language == "en" and len(digits) in (3, 4) and "," not in text:
            yield from _by_pairs(digits)
        if len(digits) > 1 or digits == "0":
            yield from _digit_by_digit(digits, language)


def _in_words(number: str, language: str, kind: str) -> Iterator[tuple[str, ...]]:
    try:
        from num2words import num2words
    except ImportError as error:
        fix = "pip install -r requirements-align.txt"
        raise UserError("num2words", "not installed", "is needed to spell numbers", fix) from error
    try:
        spoken = WORD.findall(num2words(number, lang=language, to=kind).lower())
    except NotImplementedError as error:
        rule = f"numbers of this language cannot be spelled ({kind})"
        raise UserError("--language", language, rule, "spell the numbers in the text") from error
    if language == "en" and "and" in spoken:
        yield tuple(word for word in spoken if word != "and")
    yield tuple(spoken)


def _digit_by_digit(digits: str, language: str) -> Iterator[tuple[str, ...]]:
    named = tuple(word for digit in digits for word in next(_in_words(digit, language, "cardinal")))
    yield named
    if language == "en" and "0" in digits:
        yield tuple("oh" if word == "zero" else word for word in named)


def _by_pairs(digits: str) -> Iterator[tuple[str, ...]]:
    """`1984` as nineteen eighty four, `8500` as eighty five hundred, `305` as three oh five."""
    front, back = digits[:-2], digits[-2:]
    first = next(_in_words(front, "en", "cardinal"))
    if int(back) == 0:
        yield (*first, PAIRED[0])
    else:
        middle = (PAIRED[1],) if back[0] == "0" else ()
        yield (*first, *middle, *next(_in_words(str(int(back)), "en", "cardinal")))
