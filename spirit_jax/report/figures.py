"""The report's curves."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from spirit_jax.pages.figures import LEFT, RIGHT, SPEECH, STYLE, TEXT, WIDTH, to_svg

SMOOTHING = 20  # a curve's points, over half the window of its running mean


def loss_curves(rows: Sequence[dict]) -> str:
    """Training loss by modality over steps: rows faint, their running mean strong, evaluations as rings."""
    with mpl.rc_context(STYLE):
        figure = Figure((WIDTH, 3.6))
        axes = figure.add_axes((LEFT, 0.14, RIGHT - LEFT, 0.82))
        highest = []
        for name, colour in (("text", TEXT), ("speech", SPEECH)):
            steps, losses = series(rows, f"loss_{name}")
            if not len(steps):
                continue
            axes.plot(steps, losses, color=colour, linewidth=0.8, alpha=0.25)
            axes.plot(
                steps,
                running_mean(losses, max(1, len(losses) // SMOOTHING)),
                color=colour,
                linewidth=2.2,
                label=name,
            )
            axes.plot(
                *series(rows, f"validation_loss_{name}"),
                "o",
                color=colour,
                markerfacecolor="none",
                markersize=6,
            )
            highest.append(losses[min(3, len(losses) - 1)])
        axes.set(xlabel="step", ylabel="loss (nats a token)", ylim=(0, max(highest, default=1) * 1.05))
        axes.margins(x=0.01)
        if highest:
            axes.legend(frameon=False, loc="upper right")
        return to_svg(figure, "Training loss by modality")


def series(rows: Sequence[dict], key: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of the rows that have `key`."""
    found = [(row["step"], row[key]) for row in rows if key in row]
    table = np.array(found, np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Mean over up to `window` neighbours on either side; as many values as there were."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    begin, end = np.maximum(index - window, 0), np.minimum(index + window + 1, len(values))
    return (sums[end] - sums[begin]) / (end - begin)
