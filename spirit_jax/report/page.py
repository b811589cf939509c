"""The template of the report, and its filters."""

import difflib
from pathlib import Path

from spirit_jax.evals.metrics.word_errors import normalise
from spirit_jax.pages import rendering

TEMPLATE = Path(__file__).with_name("report.html")


def render(context: dict) -> str:
    """The page as HTML; everything in `context` is escaped except figures (`*_svg`)."""
    return rendering.render(TEMPLATE, context, difference=difference, grouped=grouped)


def grouped(examples: list) -> list[tuple[str, list]]:
    """Examples by title, in order of appearance."""
    return [
        (title, [example for example in examples if example.title == title])
        for title in dict.fromkeys(example.title for example in examples)
    ]


def difference(transcript: str, reference: str) -> list[tuple[str, str]]:
    """Words of both as (kind, words): `same`, `missing` (in the reference alone) or `extra`.

    >>> difference("the big cat", "The cat sat.")
    [('same', 'the'), ('extra', 'big'), ('same', 'cat'), ('missing', 'sat')]
    """
    heard, expected = normalise(transcript).split(), normalise(reference).split()
    parts: list[tuple[str, str]] = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, expected, heard, autojunk=False).get_opcodes():
        if kind == "equal":
            parts.append(("same", " ".join(expected[a:b])))
            continue
        parts += [
            (name, " ".join(words))
            for name, words in (("missing", expected[a:b]), ("extra", heard[c:d]))
            if words
        ]
    return parts
