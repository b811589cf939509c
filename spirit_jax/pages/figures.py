"""Figures as inline SVG with the page's colours: matplotlib's colours are replaced by CSS variables."""

import io
import re
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

INK, MUTED, LINE, TEXT, SPEECH, CURVE, SOFT = (
    "#010101",
    "#020202",
    "#030303",
    "#040404",
    "#050505",
    "#060606",
    "#070707",
)
VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    LINE: "line",
    TEXT: "text",
    SPEECH: "speech",
    CURVE: "curve",
    SOFT: "soft",
}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
}
WIDTH = 10.0  # inches of 72 units
LEFT, RIGHT = 0.075, 0.99  # the axes' share of the width


def to_svg(figure: Figure, title: str) -> str:
    """The figure as an `<svg>` element that scales with the page; the same figure gives the same text."""
    file = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": title}):
        figure.savefig(
            file,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    svg = file.getvalue()[file.getvalue().index("<svg") :]
    for colour, name in VARIABLES.items():
        svg = svg.replace(colour, f"var(--{name})")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    return re.sub(
        r'<svg [^>]*?viewBox="([^"]*)"[^>]*>',
        rf'<svg viewBox="\1" role="img" aria-label="{title}">',
        svg,
        count=1,
    )
