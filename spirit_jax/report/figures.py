"""Figures as inline SVG with the page's colours: matplotlib's colours are replaced by CSS variables."""

import dataclasses
import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from spirit_jax.tokens.interleave import Record
from spirit_jax.tokens.streams import SAMPLE_RATE, UNITS, SpeechTokens, Stream, Streams, duration_s
from spirit_jax.tokens.vocabulary import run_starts

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


@dataclasses.dataclass(frozen=True)
class Lane:
    """One strip of the utterance's figure and its share of the height."""

    name: str
    height: float


def utterance(record: Record, words: Sequence[str], wav: np.ndarray, streams: Streams) -> str:
    """Waveform, words and each stream of the speech on one time axis. wav: float32 at 16 kHz."""
    speech = record.speech or SpeechTokens({UNITS: np.zeros(0, np.int32)})
    seconds = max(len(wav) / SAMPLE_RATE, duration_s(speech, streams))
    drawn = [stream for stream in streams if stream.name in speech.codes]
    lanes = [Lane("wave", 1.5), Lane("words", 0.45), *map(_lane_of, drawn)]
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure((WIDTH, sum(lane.height for lane in lanes) + 0.5))
        rows = figure.subplots(
            len(lanes), 1, sharex=True, squeeze=False, height_ratios=[lane.height for lane in lanes]
        )[:, 0]
        figure.subplots_adjust(LEFT, 0.42 / figure.get_figheight(), RIGHT, 0.99, hspace=0.12)
        for lane, axes in zip(lanes, rows):
            _prepare_lane(axes, lane.name)
        _draw_wave(rows[0], wav)
        _draw_words(rows[1], record, words, seconds)
        for stream, axes in zip(drawn, rows[2:]):
            codes, colour = speech.codes[stream.name], SPEECH if stream.name == UNITS else CURVE
            draw = _draw_steps if _is_curve(stream) else _draw_codes
            draw(axes, codes, stream.rate, colour)
        rows[-1].set(xlim=(0, seconds), xlabel="seconds")
        rows[-1].tick_params(bottom=True)
        return to_svg(figure, "An utterance: " + ", ".join(lane.name for lane in lanes))


def _is_curve(stream: Stream) -> bool:
    """Whether codes are drawn as a curve; units, and streams that are not deduplicated, are
    boxes.
    """
    return stream.deduplicate and stream.name != UNITS


def _lane_of(stream: Stream) -> Lane:
    return Lane(stream.name, 1.0 if _is_curve(stream) else 0.7 if stream.name == UNITS else 0.4)


def _prepare_lane(axes: Axes, name: str) -> None:
    axes.set_ylabel(name, rotation=0, ha="right", va="center", labelpad=8)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(bottom=False)


def _draw_steps(axes: Axes, codes: np.ndarray, rate: float, colour: str) -> None:
    axes.stairs(codes, np.arange(len(codes) + 1) / rate, color=colour, linewidth=2, baseline=None)


def _draw_wave(axes: Axes, wav: np.ndarray) -> None:
    columns = 900
    size = max(1, -(-len(wav) // columns))
    blocks = np.pad(wav, (0, -len(wav) % size)).reshape(-1, size)
    time = np.arange(len(blocks)) * size / SAMPLE_RATE
    axes.fill_between(time, blocks.min(axis=1), blocks.max(axis=1), color=SPEECH, linewidth=0)


def _draw_words(axes: Axes, record: Record, words: Sequence[str], seconds: float) -> None:
    axes.set_ylim(0, 1)
    points = WIDTH * 72 * (RIGHT - LEFT) / seconds  # a second's width
    for word, start, end in zip(words, record.word_start_s, record.word_end_s):
        axes.add_patch(
            Rectangle((start, 0.08), end - start, 0.84, facecolor=SOFT, edgecolor=TEXT, linewidth=0.8)
        )
        size = min(9.5, (end - start) * points / (0.62 * len(word)))
        axes.text((start + end) / 2, 0.5, word, ha="center", va="center_baseline", fontsize=size)


def _draw_codes(axes: Axes, codes: np.ndarray, rate: float, colour: str) -> None:
    """Runs of equal codes as boxes, shaded by code."""
    axes.set_ylim(0, 1)
    starts = run_starts(codes)
    top = max(int(codes.max(initial=1)), 1)
    for start, end in zip(starts, [*starts[1:], len(codes)]):
        shade = 0.12 + 0.6 * (int(codes[start]) * 37 % (top + 1)) / (top + 1)
        left, width = start / rate, (end - start) / rate
        axes.add_patch(Rectangle((left, 0.05), width, 0.9, facecolor=colour, alpha=shade, linewidth=0))
        axes.text(
            left + width / 2,
            0.5,
            str(codes[start]),
            ha="center",
            va="center",
            fontsize=6.5,
            rotation=0 if width > 0.2 else 90,
        )


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
