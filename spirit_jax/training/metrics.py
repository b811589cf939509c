"""The figures of training: what a step reports, summed over a window of steps, as a row of metrics.jsonl.

A step's figures are read while the next step runs. A row covers the steps since the row before:
- loss (mean nll of all weighted targets), loss_text, loss_speech, loss_tag (by the targets' modality),
  loss/NAME (by source)
- grad_norm (before clipping, mean over steps), lr
- skipped_steps (skipped by the guard since the run began; they count nowhere else, and a row of skipped steps
  alone has neither loss nor grad_norm)
- tokens (targets trained on), tokens_per_second (over time/data_s + time/step_s),
  tokens_per_second_per_chip, mfu
- time/data_s (waiting for a batch), time/step_s, time/compile_s, time/checkpoint_s, time/evaluate_s, seconds
- hbm_gib, hbm_peak_gib (of this process' fullest device, if devices report memory)
- epoch/NAME (passes over each source that the loader has made)

mfu = tokens_per_second · FLOPs per token / (chips · peak FLOP/s of a chip), if the peak is known. FLOPs per
token are those of `spirit_jax.model.llama.flops_per_token`: 6 for each weight of a matrix product, attention
counted half since it is causal, recomputation not counted.

Evaluations write rows with step, validation_loss, validation_loss_text .. and validation_loss/NAME by source.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from spirit_jax.core.errors import Halted
from spirit_jax.model.loss import MODALITIES
from spirit_jax.training.guard import LIMIT
from spirit_jax.training.step import StepMetrics

SECTIONS = ("data", "step", "compile", "checkpoint", "evaluate")
COUNTED = ("data", "step")  # for tokens a second


class Clock:
    """Seconds spent in each section since `restart`."""

    def __init__(self):
        self.restart()

    def restart(self) -> None:
        """Sets all sections to 0."""
        self.seconds = dict.fromkeys(SECTIONS, 0.0)

    @contextlib.contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Adds the time spent inside to section `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - start


@dataclasses.dataclass(frozen=True)
class Speed:
    """What throughput is measured against. chips: of all processes. peak: of a chip, FLOP/s;
    None: unknown.
    """

    chips: int
    flops_per_token: float
    peak: float | None

    def figures(self, tokens_per_second: float) -> dict[str, float]:
        """The throughput, also per chip, and model FLOPs utilisation if the peak is known."""
        per_chip = tokens_per_second / self.chips
        row = {"tokens_per_second": tokens_per_second, "tokens_per_second_per_chip": per_chip}
        if self.peak is not None:
            row["mfu"] = tokens_per_second * self.flops_per_token / (self.chips * self.peak)
        return row


class Window:
    """Sums over the steps since the last row, for that many `sources`."""

    def __init__(self, sources: int):
        self._sources = sources
        self.clear()

    def clear(self) -> None:
        """Sets all sums to 0."""
        self.nll_M, self.weight_M = np.zeros(len(MODALITIES)), np.zeros(len(MODALITIES))
        self.nll_N, self.weight_N = np.zeros(self._sources), np.zeros(self._sources)
        self.grad_norm, self.steps = 0.0, 0

    def add(self, host: StepMetrics) -> None:
        """Adds a step's figures."""
        self.nll_M += host.nll_M
        self.weight_M += host.weight_M
        self.nll_N += host.nll_N
        self.weight_N += host.weight_N
        self.grad_norm += float(host.grad_norm)
        self.steps += 1


class Meter:
    """Collects each step's figures, one step late, and returns a row every `log_every` steps and at `last`.

    rate: number of updates made -> learning rate. sources: their names. epochs: position in the data ->
    passes over each source.
    """

    def __init__(
        self,
        clock: Clock,
        log_every: int,
        last: int,
        rate: Callable[[int], float],
        sources: Sequence[str],
        epochs: Callable[[Any], dict[str, float]],
        speed: Speed,
    ):
        self._clock, self._speed, self._rate, self._epochs = clock, speed, rate, epochs
        self._log_every, self._last, self._sources = log_every, last, sources
        self._window, self._pending = Window(len(sources)), None

    def add(self, step: int, metrics: StepMetrics, position: Any) -> dict[str, float] | None:
        """Takes the figures of `step`, just dispatched, and reads those of the step before; returns that
        step's row if one is due.
        """
        row = self.flush()
        self._pending = (step, metrics, position)
        return row

    def flush(self) -> dict[str, float] | None:
        """Reads the figures last taken, waiting until their step is done; returns its row if one is due.

        Raises Halted if too many steps in a row were skipped.
        """
        if self._pending is None:
            return None
        (step, metrics, position), self._pending = self._pending, None
        host = jax.device_get(metrics)
        if host.guard.in_a_row == 0:
            self._window.add(host)
        elif host.guard.in_a_row >= LIMIT:
            raise Halted(_diverged(step, host))
        if step % self._log_every and step != self._last:
            return None
        return self._row(step, position, int(host.guard.skipped))

    def _row(self, step: int, position: Any, skipped: int) -> dict[str, float]:
        window, seconds = self._window, self._clock.seconds
        tokens = float(window.weight_M.sum())
        row = {
            "step": step,
            **losses(window.nll_M, window.weight_M, "loss"),
            **{
                f"loss/{name}": float(nll / weight)
                for name, nll, weight in zip(self._sources, window.nll_N, window.weight_N)
                if weight
            },
            **({"grad_norm": window.grad_norm / window.steps} if window.steps else {}),
            "lr": float(self._rate(step - 1 - skipped)),
            "skipped_steps": skipped,
            "tokens": tokens,
            **self._speed.figures(tokens / max(sum(seconds[name] for name in COUNTED), 1e-9)),
            **{f"time/{name}_s": spent for name, spent in seconds.items()},
            **memory(jax.local_devices()),
            **{f"epoch/{name}": count for name, count in self._epochs(position).items()},
        }
        window.clear()
        self._clock.restart()
        return row


def losses(nll_M: np.ndarray, weight_M: np.ndarray, name: str) -> dict[str, float]:
    """Mean losses: `name` over all targets; `name`_text, _speech, _tag over those of a modality, if any."""
    means = {name: float(nll_M.sum() / weight_M.sum())} if weight_M.any() else {}
    return means | {
        f"{name}_{kind}": float(nll / weight)
        for kind, nll, weight in zip(MODALITIES, nll_M, weight_M)
        if weight
    }


def memory(devices: Sequence[Any]) -> dict[str, float]:
    """GiB in use now and at the peak, of the fullest device; empty if devices don't report memory."""
    stats = [device.memory_stats() or {} for device in devices]
    names = {"hbm_gib": "bytes_in_use", "hbm_peak_gib": "peak_bytes_in_use"}
    return {
        name: max(stat[key] for stat in stats) / 2**30
        for name, key in names.items()
        if all(key in stat for stat in stats)
    }


def summarize(row: dict[str, float]) -> str:
    """A row in a few words, for the live line."""
    parts = " ".join(
        f"{kind} {row[f'loss_{kind}']:.3f}" for kind in ("text", "speech") if f"loss_{kind}" in row
    )
    skipped = f" · {row['skipped_steps']} steps skipped" if row["skipped_steps"] else ""
    speed = f"{row['tokens_per_second']:,.0f} tokens/s"
    return f"loss {row['loss']:.3f} {parts} · {speed} · lr {row['lr']:.2e}{skipped}"


def _diverged(step: int, host: StepMetrics) -> str:
    loss = host.nll_M.sum() / max(host.weight_M.sum(), 1.0)
    usual = f"; {host.guard.mean_norm:.4g} is usual" if host.guard.counted else ""
    return (
        f"{LIMIT} steps in a row were skipped, the last of them step {step:,}: loss {loss:.4g}, "
        f"gradient norm {host.grad_norm:.4g}{usual}; resume from an earlier checkpoint with other data or a "
        "lower optim.peak_lr"
    )
