"""The page's figures, as SVG files of their own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spirit_jax.core.files import write_atomically
from spirit_jax.evals.metrics.intervals import Estimate
from spirit_jax.paper.results import DIRECTIONS, EASY, HARD, ArmResult

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}
KINDS = {HARD: "hard: another object", EASY: "easy: another topic"}


def write_figure(figure: Figure, path: Path) -> None:
    """Writes an SVG on white; the same figure gives the same bytes."""
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with write_atomically(path) as partial, mpl.rc_context({**STYLE, "svg.hashsalt": path.name}):
        figure.savefig(partial, format="svg", metadata=metadata)


def draw_choices(arms: Mapping[str, ArmResult]) -> Figure:
    """Accuracies of all arms: a panel for each direction and kind of wrong ending."""
    with mpl.rc_context(STYLE):
        figure = Figure((11.0, 0.7 + 0.5 * len(arms)), layout="constrained")
        panels = figure.subplots(1, len(DIRECTIONS), sharey=True, squeeze=False)[0]
        heights = np.arange(len(arms))[::-1]
        for axes, (direction, title) in zip(panels, DIRECTIONS.items()):
            for number, (kind, label) in enumerate(KINDS.items()):
                estimates = [one.choice(kind, direction) for one in arms.values()]
                _draw_points(axes, estimates, heights + 0.12 - 0.24 * number, f"C{number}", label)
            axes.axvline(0.5, color="#888888", linewidth=1, linestyle=":")
            axes.set(title=title, xlim=(0.3, 1.02))
        panels[0].set_yticks(heights, [one.arm.title for one in arms.values()])
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(KINDS))
        return figure


def draw_shares(points: Sequence[ArmResult]) -> Figure:
    """Choice between modalities over the share of aligned records; the arms' intervals as bars."""
    with mpl.rc_context(STYLE):
        figure = Figure((8.0, 3.8), layout="constrained")
        places = np.arange(len(points))
        panels = figure.subplots(1, len(KINDS), sharey=True, squeeze=False)[0]
        for axes, (kind, title) in zip(panels, KINDS.items()):
            for number, (direction, label) in enumerate(DIRECTIONS.items()):
                values, errors_2P = _bars([one.choice(kind, direction) for one in points])
                shifted = places + 0.06 * (number - 1.5)
                axes.errorbar(shifted, values, errors_2P, marker="o", markersize=4, capsize=2, label=label)
            axes.set_xticks(places, [f"{one.arm.aligned:.0%}" for one in points])
            axes.axhline(0.5, color="#888888", linewidth=1, linestyle=":")
            axes.set(title=title, xlabel="share of the aligned records")
        panels[0].set(ylabel="right choices", ylim=(0.3, 1.02))
        panels[-1].legend(loc="lower right")
        return figure


def draw_probes(arms: Mapping[str, ArmResult]) -> Figure:
    """Cosines over layers by arm: of the same word, and how much they exceed those of another word."""
    with mpl.rc_context(STYLE):
        figure = Figure((11.0, 4.2), layout="constrained")
        same, gap = figure.subplots(1, 2)
        for number, one in enumerate(arms.values()):
            for axes, values_RNL in (
                (same, one.probe.same_RNL),
                (gap, one.probe.same_RNL - one.probe.other_RNL),
            ):
                _draw_curve(axes, one.probe.estimates(values_RNL), f"C{number}", one.arm.title)
        same.set(title="the same word", xlabel="layer (0: embedding)", ylabel="cosine, speech and text")
        gap.set(title="the same word, less another word", xlabel="layer (0: embedding)")
        figure.legend(*gap.get_legend_handles_labels(), loc="outside right center")
        return figure


def _draw_points(
    axes: Axes, estimates: Sequence[Estimate], heights: np.ndarray, colour: str, label: str
) -> None:
    values, errors_2P = _bars(estimates)
    axes.errorbar(
        values, heights, xerr=errors_2P, fmt="o", color=colour, markersize=4, capsize=2, label=label
    )


def _draw_curve(axes: Axes, estimates: Sequence[Estimate], colour: str, label: str) -> None:
    values, errors_2P = _bars(estimates)
    layers = np.arange(len(values))
    axes.plot(layers, values, color=colour, marker=".", label=label)
    axes.fill_between(
        layers, values - errors_2P[0], values + errors_2P[1], color=colour, alpha=0.15, linewidth=0
    )
    axes.set_xticks(layers)


def _bars(estimates: Sequence[Estimate]) -> tuple[np.ndarray, np.ndarray]:
    """Values [P], and how far the ends of their intervals are below and above: [2, P]."""
    values = np.array([one.value for one in estimates], np.float64)
    ends_P2 = np.array([one.interval for one in estimates], np.float64)
    return values, np.stack([values - ends_P2[:, 0], ends_P2[:, 1] - values]).clip(0)
