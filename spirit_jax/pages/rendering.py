"""Self-contained HTML pages: a template of a page, in the frame and the style of `base.html`."""

from pathlib import Path
from typing import Any

import jinja2


def render(template: Path, context: dict[str, Any], **filters: Any) -> str:
    """The page as HTML; everything in `context` is escaped except figures (`*_svg`).

    The template extends `base.html` and fills its block `content`. filters: more of them, by name.
    """
    loader = jinja2.FileSystemLoader([template.parent, Path(__file__).parent])
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"compact": compact, **filters}
    return environment.get_template(template.name).render(context)


def compact(number: float) -> str:
    """A count in a few characters.

    >>> [compact(n) for n in (7, 12_345, 960_000, 7_000_000_000)]
    ['7', '12.3 K', '960 K', '7 B']
    """
    for size, letter in ((1e9, " B"), (1e6, " M"), (1e3, " K")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:g}"
