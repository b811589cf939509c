"""An utterance on one time axis: sound, words and codes, one strip above the other."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from spirit_jax.pages.figures import CURVE, LEFT, LINE, MUTED, RIGHT, SOFT, SPEECH, STYLE, TEXT, WIDTH, to_svg
from spirit_jax.tokens.streams import SAMPLE_RATE, UNITS, SpeechTokens, Stream, Streams, duration_s
from spirit_jax.tokens.vocabulary import run_starts

INCHES_A_SECOND = 1.5  # at least, so that the codes of a long utterance can be read; the page then scrolls
COLUMNS = 130  # of the drawn wave, an inch
WINDOW, HOP = 512, 128  # samples of the spectrogram: 32 and 8 ms
TOP_HZ = 5000  # above it speech has little that can be seen
RANGE_DB = 70.0  # from the loudest point down to what is blank
PAINT = (210, 98, 42)  # of the spectrogram: an image cannot take its colour from the page


@dataclasses.dataclass(frozen=True)
class Lanes:
    """What is drawn of an utterance; what is None or empty has no strip.

    wav: float32 [samples] at 16 kHz. words: (word, start s, end s). f0: Hz, 0 where unvoiced, evenly over the
    sound. spectrogram: whether the sound has one.
    """

    wav: np.ndarray | None
    words: Sequence[tuple[str, float, float]]
    speech: SpeechTokens | None
    streams: Streams
    f0: np.ndarray | None = None
    spectrogram: bool = False

    @property
    def seconds(self) -> float:
        """The length of the time axis."""
        spoken = duration_s(self.speech, self.streams) if self.speech else 0.0
        heard = 0.0 if self.wav is None else len(self.wav) / SAMPLE_RATE
        return max(spoken, heard, max((end for _, _, end in self.words), default=0.0), 0.1)


class Drawn(NamedTuple):
    """A figure. left, right: the ends of its time axis, as shares of its width; px: its width on the page."""

    svg: str
    seconds: float
    left: float
    right: float
    px: int


class _Strip(NamedTuple):
    name: str
    height: float  # inches
    draw: Callable[[Axes], None]


def draw_utterance(lanes: Lanes) -> Drawn:
    """The figure of an utterance. The same lanes give the same text."""
    seconds = lanes.seconds
    width = max(WIDTH, INCHES_A_SECOND * seconds)
    strips = _strips(lanes, (width - WIDTH * (LEFT + 1 - RIGHT)) * 72 / seconds)
    left, right = LEFT * WIDTH / width, 1 - (1 - RIGHT) * WIDTH / width
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure((width, sum(strip.height for strip in strips) + 0.5))
        rows = figure.subplots(
            len(strips), 1, sharex=True, squeeze=False, height_ratios=[strip.height for strip in strips]
        )[:, 0]
        figure.subplots_adjust(left, 0.42 / figure.get_figheight(), right, 0.99, hspace=0.12)
        for strip, axes in zip(strips, rows):
            _prepare(axes, strip.name)
            strip.draw(axes)
        rows[-1].set(xlim=(0, seconds), xlabel="seconds")
        rows[-1].tick_params(bottom=True)
        svg = to_svg(figure, "An utterance: " + ", ".join(strip.name for strip in strips))
    return Drawn(svg, seconds, left, right, round(width * 72))


def _strips(lanes: Lanes, points: float) -> list[_Strip]:
    """points: the width of a second."""
    strips = []
    if (wav := lanes.wav) is not None:
        columns = round(points * lanes.seconds / 72 * COLUMNS)
        strips.append(_Strip("wave", 1.2, lambda axes: _draw_wave(axes, wav, columns)))
        if lanes.spectrogram:
            strips.append(_Strip("spectrum", 1.5, lambda axes: _draw_spectrogram(axes, wav)))
    if lanes.words:
        strips.append(_Strip("words", 0.45, lambda axes: _draw_words(axes, lanes.words, points)))
    if (f0 := lanes.f0) is not None and f0.any():
        strips.append(_Strip("F0, Hz", 1.0, lambda axes: _draw_f0(axes, f0, lanes.seconds)))
    for stream in lanes.streams:
        if lanes.speech and len(codes := lanes.speech.codes.get(stream.name, ())):
            strips.append(_strip_of(stream, np.asarray(codes)))
    return strips or [_Strip("", 0.2, lambda axes: None)]


def _strip_of(stream: Stream, codes: np.ndarray) -> _Strip:
    """Codes as a curve; units, and streams that are not deduplicated, as boxes."""
    if stream.deduplicate and stream.name != UNITS:
        return _Strip(stream.name, 1.0, lambda axes: _draw_steps(axes, codes, stream.rate))
    colour, height = (SPEECH, 0.7) if stream.name == UNITS else (CURVE, 0.4)
    return _Strip(stream.name, height, lambda axes: _draw_codes(axes, codes, stream.rate, colour))


def _prepare(axes: Axes, name: str) -> None:
    axes.set_ylabel(name, rotation=0, ha="right", va="center", labelpad=5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(bottom=False)


def _mark(axes: Axes, levels: Mapping[float, str]) -> None:
    """Names heights of a strip, inside it: the margin has its name."""
    for level, name in levels.items():
        axes.text(0.0, level, f" {name}", fontsize=7, color=MUTED, va="center", ha="left", in_layout=False)
        axes.axhline(level, color=LINE, linewidth=0.5, zorder=0)


def _draw_steps(axes: Axes, codes: np.ndarray, rate: float) -> None:
    axes.stairs(codes, np.arange(len(codes) + 1) / rate, color=CURVE, linewidth=2, baseline=None)


def _draw_wave(axes: Axes, wav: np.ndarray, columns: int) -> None:
    size = max(1, -(-len(wav) // columns))
    blocks = np.pad(wav, (0, -len(wav) % size)).reshape(-1, size)
    time = np.arange(len(blocks)) * size / SAMPLE_RATE
    axes.fill_between(time, blocks.min(axis=1), blocks.max(axis=1), color=SPEECH, linewidth=0)


def _draw_spectrogram(axes: Axes, wav: np.ndarray) -> None:
    """Darker is louder; the image is blank where it is quiet, so that it suits any page."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(wav, WINDOW // 2), WINDOW)[::HOP]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(WINDOW), axis=1)))
    shown = 10 * np.log10(power[:, : TOP_HZ * WINDOW // SAMPLE_RATE] + 1e-12).T
    shade = np.clip((shown - shown.max()) / RANGE_DB + 1, 0, 1) ** 1.5
    image = np.empty((*shade.shape, 4), np.uint8)
    image[..., :3], image[..., 3] = PAINT, np.round(shade * 15) * 17  # 16 levels, which compress well
    axes.imshow(
        image,
        aspect="auto",
        origin="lower",
        extent=(0, len(wav) / SAMPLE_RATE, 0, TOP_HZ),
        interpolation="none",
    )
    _mark(axes, {2000: "2", 4000: "4 kHz"})


def _draw_f0(axes: Axes, f0: np.ndarray, seconds: float) -> None:
    """Voiced stretches as lines."""
    time = np.linspace(0, seconds, len(f0), endpoint=False)
    voiced = f0[f0 > 0]
    axes.plot(time, np.where(f0 > 0, f0, np.nan), color=CURVE, linewidth=1.8)
    axes.set_ylim(voiced.min() * 0.9, voiced.max() * 1.1)
    _mark(axes, {level: f"{level:.0f}" for level in np.round(np.percentile(voiced, [5, 95]), -1)})


def _draw_words(axes: Axes, words: Sequence[tuple[str, float, float]], points: float) -> None:
    axes.set_ylim(0, 1)
    for word, start, end in words:
        axes.add_patch(
            Rectangle((start, 0.08), end - start, 0.84, facecolor=SOFT, edgecolor=TEXT, linewidth=0.8)
        )
        size = min(9.5, (end - start) * points / (0.62 * len(word)))
        if size > 0.5:  # a word without length has no room
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
