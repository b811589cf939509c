"""Metrics: JSON lines, TensorBoard and a live line. A step's figures are read while the next step runs.

A row of metrics.jsonl: step · loss (mean nll of all weighted targets since the row before), loss_text, loss_speech, loss_tag (means by
the targets' modality) · grad_norm (before clipping, mean over steps), lr · tokens (targets trained on), tokens_per_second (over data_s and
step_s) · data_s, step_s, compile_s, checkpoint_s, evaluate_s (where the seconds since the row before went) · epoch/NAME (passes over each
source, as far as the loader has read). Evaluations write rows with step, validation_loss, validation_loss_text .. and
validation_loss/NAME by source.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tensorboardX import SummaryWriter

from spirit_jax.files import read_jsonl, write_jsonl
from spirit_jax.model.loss import MODALITIES
from spirit_jax.training.step import StepMetrics

SECTIONS = ("data", "step", "compile", "checkpoint", "evaluate")
COUNTED = ("data", "step")  # for tokens a second


class Clock:
    """Where the time goes: seconds by section since `restart`."""

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


class Writer:
    """Rows to metrics.jsonl and TensorBoard. Rows of steps after `start` are dropped: a resumed run writes them again."""

    def __init__(self, out: Path, start: int):
        path = out / "metrics.jsonl"
        if path.exists():
            write_jsonl(path, [row for row in _whole_rows(path) if row["step"] <= start])
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115
        self._board = SummaryWriter(str(out / "tensorboard"), purge_step=start + 1)

    def write(self, row: dict[str, float]) -> None:
        """One row; `step` is among its keys."""
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        for name, value in row.items():
            if name != "step":
                self._board.add_scalar(name, value, row["step"])

    def close(self) -> None:
        """Writes what is buffered."""
        self._file.close()
        self._board.close()


class Window:
    """Sums over the steps since the last row."""

    def __init__(self):
        self.clear()

    def clear(self) -> None:
        """Begins anew."""
        self.nll_M, self.weight_M = np.zeros(len(MODALITIES)), np.zeros(len(MODALITIES))
        self.grad_norm, self.steps = 0.0, 0

    def add(self, metrics: StepMetrics) -> None:
        """Reads a step's figures from the device: waits until that step is done."""
        host = jax.device_get(metrics)
        self.nll_M += host.nll_M
        self.weight_M += host.weight_M
        self.grad_norm += float(host.grad_norm)
        self.steps += 1


class Meter:
    """Collects the steps' figures, one step late, and gives a row every `log_every` steps.

    rate: learning rate by step. epochs: passes over each source by position in the data.
    """

    def __init__(self, clock: Clock, log_every: int, rate: Callable[[int], float], epochs: Callable[[Any], dict[str, float]]):
        self._clock, self._log_every, self._rate, self._epochs = clock, log_every, rate, epochs
        self._window, self._pending = Window(), None

    def add(self, step: int, metrics: StepMetrics, position: Any) -> dict[str, float] | None:
        """Takes the figures of `step`, just dispatched, and reads those of the step before; returns its row if one is due."""
        row = self.flush()
        self._pending = (step, metrics, position)
        return row

    def flush(self) -> dict[str, float] | None:
        """Reads the figures last taken; returns their row if one is due."""
        if self._pending is None:
            return None
        (step, metrics, position), self._pending = self._pending, None
        self._window.add(metrics)
        return self._row(step, position) if step % self._log_every == 0 else None

    def _row(self, step: int, position: Any) -> dict[str, float]:
        window, seconds = self._window, self._clock.seconds
        counted = sum(seconds[name] for name in COUNTED)
        tokens = float(window.weight_M.sum())
        row = {
            "step": step,
            **losses(window.nll_M, window.weight_M, "loss"),
            "grad_norm": window.grad_norm / window.steps,
            "lr": float(self._rate(step - 1)),
            "tokens": tokens,
            "tokens_per_second": tokens / max(counted, 1e-9),
            **{f"{name}_s": spent for name, spent in seconds.items()},
            **{f"epoch/{name}": count for name, count in self._epochs(position).items()},
        }
        window.clear()
        self._clock.restart()
        return row


def losses(nll_M: np.ndarray, weight_M: np.ndarray, name: str) -> dict[str, float]:
    """Mean losses: `name` over all targets, `name`_text, _speech, _tag by modality where there are any."""
    means = {name: float(nll_M.sum() / max(weight_M.sum(), 1.0))}
    return means | {f"{name}_{kind}": float(nll / weight) for kind, nll, weight in zip(MODALITIES, nll_M, weight_M) if weight}


def summarize(row: dict[str, float]) -> str:
    """A row in a few words, for the live line."""
    parts = " ".join(f"{kind} {row[f'loss_{kind}']:.3f}" for kind in ("text", "speech") if f"loss_{kind}" in row)
    return f"loss {row['loss']:.3f} {parts} · {row['tokens_per_second']:,.0f} tokens/s · lr {row['lr']:.2e}"


def _whole_rows(path: Path) -> Iterator[dict]:
    """The rows of a file whose last line may have been cut off."""
    text = path.read_text(encoding="utf-8")
    if not text.endswith("\n"):
        path.write_text(text[: text.rfind("\n") + 1], encoding="utf-8")
    yield from read_jsonl(path)
