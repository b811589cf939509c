"""One self-contained HTML page, without references to other files."""

import difflib
from pathlib import Path

import jinja2

from spirit_jax.evals.metrics.word_errors import normalise

TEMPLATE = "report.html"


def render(context: dict) -> str:
    """The page as HTML; everything in `context` is escaped except figures (`*_svg`)."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"compact": compact, "difference": difference, "grouped": grouped}
    return environment.get_template(TEMPLATE).render(context)


def compact(number: float) -> str:
    """A count in a few characters.

    >>> [compact(n) for n in (7, 12_345, 960_000, 7_000_000_000)]
    ['7', '12.3 K', '960 K', '7 B']
    """
    for size, letter in ((1e9, " B"), (1e6, " M"), (1e3, " K")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:g}"


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
