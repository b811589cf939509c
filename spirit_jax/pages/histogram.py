"""Histograms with fixed bins, which can be added up, so that their memory does not grow with a corpus; and
how a page shows them.
"""

import dataclasses
from collections.abc import Iterable

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from spirit_jax.pages.figures import INK, LINE, MUTED, SPEECH, STYLE, to_svg

BINS = 400  # of a histogram
BARS = 40  # of its figure, or somewhat more or less


@dataclasses.dataclass(frozen=True)
class Histogram:
    """How often values fall into each of `BINS` equal bins from `low` to `high`. What is outside is counted
    in the outermost ones.
    """

    low: float
    high: float
    counts: np.ndarray  # int64 [BINS]

    @classmethod
    def of(cls, values: Iterable[float], low: float, high: float) -> "Histogram":
        """The histogram of some values."""
        array = np.fromiter(values, np.float64)
        inside = np.clip(array, low, np.nextafter(high, low))
        return cls(low, high, np.histogram(inside, BINS, (low, high))[0])

    def __add__(self, other: "Histogram") -> "Histogram":
        return dataclasses.replace(self, counts=self.counts + other.counts)

    @property
    def count(self) -> int:
        """The number of values."""
        return int(self.counts.sum())

    def quantile(self, share: float) -> float:
        """The value below which this share of the values is, to the width of a bin; `low` if there are
        none.
        """
        if not self.count:
            return self.low
        at = int(np.searchsorted(np.cumsum(self.counts), share * self.count))
        return self.low + (min(at, BINS - 1) + 0.5) * (self.high - self.low) / BINS

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, at least the width of a bin."""
        return max((self.quantile(0.75) - self.quantile(0.25)) / 2, (self.high - self.low) / BINS)


def draw_histogram(
    histogram: Histogram, title: str, least: float | None = None, most: float | None = None
) -> str:
    """The values from the lowest to the highest that occurs, as SVG. Limits are dashed; what is beyond them
    is grey.
    """
    counts, edges = _bars(histogram)
    limits = [limit for limit in (least, most) if limit is not None]
    with mpl.rc_context(STYLE):
        figure = Figure((4.8, 1.9))
        axes = figure.add_axes((0.04, 0.2, 0.92, 0.74))
        centres = (edges[1:] + edges[:-1]) / 2
        inside = (centres >= (least if least is not None else -np.inf)) & (
            centres <= (most if most is not None else np.inf)
        )
        for chosen, colour in ((inside, SPEECH), (~inside, MUTED)):
            axes.bar(centres[chosen], counts[chosen], np.diff(edges)[chosen], color=colour, linewidth=0)
        for limit in limits:
            axes.axvline(limit, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.set(xlim=_extent(counts, edges, limits), yticks=[])
        axes.spines["left"].set_visible(False)
        axes.spines["bottom"].set_color(LINE)
        axes.grid(visible=False)
        return to_svg(figure, f"Histogram: {title}")


def _bars(histogram: Histogram) -> tuple[np.ndarray, np.ndarray]:
    """Counts of neighbouring bins as one, so that about `BARS` of them cover the values; and their edges."""
    filled = np.flatnonzero(histogram.counts)
    occupied = filled[-1] - filled[0] + 1 if len(filled) else BINS
    size = max(1, round(occupied / BARS))
    starts = np.arange(0, BINS, size)
    edges = histogram.low + np.append(starts, BINS) * (histogram.high - histogram.low) / BINS
    return np.add.reduceat(histogram.counts, starts), edges


def _extent(counts: np.ndarray, edges: np.ndarray, limits: list[float]) -> tuple[float, float]:
    """From the lowest to the highest value and limit, with a margin."""
    filled = np.flatnonzero(counts)
    ends = [edges[filled[0]], edges[filled[-1] + 1]] if len(filled) else [edges[0], edges[-1]]
    low, high = float(min([*ends, *limits])), float(max([*ends, *limits]))
    margin = 0.03 * (high - low)
    return low - margin, high + margin
