"""Written words as they are spoken: numbers, abbreviations, symbols and notes in brackets.

The text stays as it is written; an aligner searches for the readings given here.

written         readings
"Mute,"         mute
"1234"          one thousand two hundred thirty four | twelve thirty four | one two three four ...
"H.323"         h three hundred twenty three | h three two three | h dot three two three ...
"PBX"           p b x
"#"             pound | hash | number
"[beep]", "-"   no sound
"(softly)"      softly, or no sound

Rules for numbers are those of `num2words`; abbreviations and symbols are English (our choice).
"""

import dataclasses
import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence

from data_prep.alignment.numbers import number_readings

Reading = tuple[str, ...]

MOST_READINGS = 24  # of a written word; more would slow the search
SHORTEST_SHOUT = 4  # words; a shorter text in capitals may be an acronym
LONGEST_ACRONYM = 6
BRACKETS = {"[": "]", "<": ">", "{": "}"}
ABBREVIATIONS = {
    "mr": ("mister",), "mrs": ("missus",), "ms": ("miss",), "dr": ("doctor", "drive"), "prof": ("professor",),
    "st": ("saint", "street"), "jr": ("junior",), "sr": ("senior",), "gen": ("general",),
    "col": ("colonel",), "capt": ("captain",), "lt": ("lieutenant",), "sgt": ("sergeant",),
    "rev": ("reverend",), "hon": ("honorable",), "gov": ("governor",), "sen": ("senator",),
    "ave": ("avenue",), "blvd": ("boulevard",), "rd": ("road",), "mt": ("mount",), "ft": ("feet", "fort"),
    "co": ("company",), "corp": ("corporation",), "inc": ("incorporated",), "ltd": ("limited",),
    "dept": ("department",), "no": ("no", "number"), "vs": ("versus",), "etc": ("et cetera",),
    "e.g": ("for example", "e g"), "i.e": ("that is", "i e"), "approx": ("approximately",),
}  # fmt: skip
SYMBOLS = {
    "&": ("and",), "@": ("at",), "%": ("percent",), "+": ("plus",), "=": ("equals",),
    "*": ("star", "asterisk"), "#": ("pound", "hash", "number"), "°": ("degrees",),
    "$": ("dollars", "dollar"), "£": ("pounds", "pound"), "€": ("euros", "euro"), "§": ("section",),
}  # fmt: skip
JOINTS = {
    ".": ("", "dot", "point"),
    "/": ("", "slash", "or"),
    "-": ("", "to", "dash"),
    "_": ("", "underscore"),
}
# a letter of any script or a mark on it; the dashes, quotes and points of U+2010 to U+205E are none
LETTER = r"[^\s\d\x00-\x40\x5b-\x60\x7b-\xa9\xab-\xb4\xb6-\xb9\xbb-\xbf\u2010-\u205e]"
PIECE = re.compile(
    r"(?P<number>\d+(?:,\d{3})*(?:\.\d+)?(?:st\b|nd\b|rd\b|th\b)?)"
    rf"|(?P<letters>{LETTER}+(?:'{LETTER}+)*'?)"
    r"|(?P<symbol>[&@%+=*#°$£€§])"
    r"|(?P<joint>(?<=\w)[./_](?=\w)|(?<=\d)-(?=\d))"
)
CURRENCY = re.compile(r"^([$£€])(\d[\d,]*)(?:\.(\d\d)\b)?")


@dataclasses.dataclass(frozen=True)
class Spelled:
    """A written word. readings: how it may be spoken, the likeliest first; none for a `silent` word, which
    has no sound. optional: it is in parentheses, so it may be unspoken.
    """

    written: str
    readings: tuple[Reading, ...] = ()
    silent: bool = False
    optional: bool = False


def spell(words: Sequence[str], language: str = "en") -> list[Spelled]:
    """The readings of a text's words. A text that is a note as a whole, as `(applause)`, is silent."""
    shouted = len(words) >= SHORTEST_SHOUT and " ".join(words).isupper()
    aside = list(_brackets(words))
    whole = all(aside)
    return [
        Spelled(word, silent=True)
        if closing in BRACKETS.values() or (whole and closing)
        else _spell_word(word, language, shouted, optional=bool(closing))
        for word, closing in zip(words, aside)
    ]


def _brackets(words: Sequence[str]) -> Iterator[str]:
    """For each word the closing bracket that it is inside of, or ""; an unclosed bracket is none."""
    text, position, closing = " ".join(words), 0, ""
    for word in words:
        start = position + len(word) - len(word.lstrip("\"'.,"))
        opened = {**BRACKETS, "(": ")"}.get(text[start : start + 1], "")
        if not closing and opened and opened in text[start:]:
            closing = opened
        yield closing
        if closing and closing in word:
            closing = ""
        position += len(word) + 1


def _spell_word(word: str, language: str, shouted: bool, optional: bool) -> Spelled:
    text = unicodedata.normalize("NFKC", word).replace("’", "'").replace("‘", "'")
    core = text.strip("\"'.,;:!?()[]{}<>“”«»…-–—/_\\|~^`")
    known = ABBREVIATIONS.get(core.lower()) if f"{core}." in text else None
    if language == "en" and known:
        readings = tuple(tuple(reading.split()) for reading in (*known, core.lower().replace(".", "")))
        return Spelled(word, readings, optional=optional)
    core = CURRENCY.sub(r"\2 \1 \3", core)
    pieces = [list(_piece_readings(piece, language, shouted)) for piece in PIECE.finditer(core)]
    joined = (sum(parts, ()) for parts in itertools.product(*pieces))
    distinct = dict.fromkeys(itertools.islice(joined, 4 * MOST_READINGS))
    readings = tuple(reading for reading in distinct if reading)[:MOST_READINGS]
    return Spelled(word, readings, silent=not readings, optional=optional)


def _piece_readings(piece: re.Match, language: str, shouted: bool) -> Iterator[Reading]:
    text = piece[0]
    if piece["number"]:
        yield from number_readings(text, language)
    elif piece["letters"]:
        yield from _letter_readings(text, shouted)
    elif language == "en":
        yield from (tuple(name.split()) for name in (SYMBOLS if piece["symbol"] else JOINTS)[text])
    else:
        yield ()


def _letter_readings(text: str, shouted: bool) -> Iterator[Reading]:
    """A word, letter by letter if it is an acronym: in capitals, or without a vowel."""
    if not any(c.isalpha() for c in text):
        yield ()
        return
    word, letters = (text.lower(),), tuple(text.lower().replace("'", ""))
    acronym = text.isupper() and 1 < len(text) <= LONGEST_ACRONYM and not shouted
    vowels = any(c in "aeiouy" for c in unicodedata.normalize("NFD", text.lower()))
    spelled = acronym or (not vowels and text.isascii() and len(letters) > 1)
    yield from (letters, word) if spelled and not vowels else (word, letters) if spelled else (word,)
