"""Metrics: JSON lines, TensorBoard, Weights & Biases and a live line. A step's figures are read while the
next step runs.

A row of metrics.jsonl, over the steps since the row before: loss (mean nll of all weighted targets),
loss_text, loss_speech, loss_tag (by the targets' modality), loss/NAME (by source) · grad_norm (before
clipping, mean over steps), lr, skipped_steps (left out by the guard since the run began; they count nowhere
else, and a row of nothing else has neither loss nor grad_norm) · tokens (targets trained on),
tokens_per_second (over time/data_s and time/step_s), tokens_per_second_per_chip, mfu · time/data_s (waiting
for a batch), time/step_s, time/compile_s, time/checkpoint_s, time/evaluate_s (where the seconds went) ·
hbm_gib, hbm_peak_gib (of the fullest device of this process, where devices tell) · epoch/NAME (passes over
each source that the loader has made).

mfu = tokens_per_second · FLOPs a token / (chips · peak FLOP/s of a chip), where the peak is known. FLOPs a
token are those of `spirit_jax.model.llama.flops_per_token`: 6 for each weight of a matrix product, attention
counted half since it is causal, recomputation not counted.

Evaluations write rows with step, validation_loss, validation_loss_text .. and validation_loss/NAME by source.
"""

import contextlib
import dataclasses
import importlib.util
import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tensorboardX import summary
from tensorboardX.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]
from tensorboardX.record_writer import masked_crc32c

from spirit_jax.core.errors import Halted
from spirit_jax.core.files import GrowingFile, read_jsonl, write_jsonl
from spirit_jax.model.loss import MODALITIES
from spirit_jax.training.guard import LIMIT
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
    """Rows to metrics.jsonl and TensorBoard, and to Weights & Biases where the package and an account
    (WANDB_API_KEY) or a mode (WANDB_MODE) are.

    Rows of steps after `start` are dropped: a resumed run writes them again.
    """

    def __init__(self, out: Path, start: int):
        path = out / "metrics.jsonl"
        if path.exists():
            write_jsonl(path, [row for row in _whole_rows(path) if row["step"] <= start])
        self._file, self._board = GrowingFile(path), _Board(out / "tensorboard", start)
        self._wandb = _start_wandb(out)

    def write(self, row: dict[str, float]) -> None:
        """One row; `step` is among its keys."""
        self._file.add((json.dumps(row) + "\n").encode())
        values = {name: value for name, value in row.items() if name != "step"}
        self._board.write(int(row["step"]), values)
        if self._wandb is not None:
            self._wandb.log(values, step=row["step"])

    def close(self) -> None:
        """Writes what waits."""
        self._file.close()
        self._board.close()
        if self._wandb is not None:
            self._wandb.finish()


class _Board:
    """TensorBoard's file of events, which hides those of steps after `start` in older files.

    tensorboardX's own writer has a thread that dies of a full disk, after which the next scalars wait for it
    for ever.
    """

    def __init__(self, folder: Path, start: int):
        folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        self._file = GrowingFile(folder / f"events.out.tfevents.{int(now)}.{socket.gethostname()}")
        self._add(Event(wall_time=now, file_version="brain.Event:2"))
        self._add(Event(wall_time=now, step=start + 1, session_log=SessionLog(status=SessionLog.START)))

    def write(self, step: int, values: dict[str, float]) -> None:
        """Scalars of a step by name."""
        for name, value in values.items():
            self._add(Event(wall_time=time.time(), step=step, summary=summary.scalar(name, value)))

    def close(self) -> None:
        """Writes what waits."""
        self._file.close()

    def _add(self, event: Event) -> None:
        """As a record: the length, the event, and a checksum of each."""
        content = event.SerializeToString()
        length = struct.pack("<Q", len(content))
        self._file.add(
            b"".join(
                (
                    length,
                    struct.pack("<I", masked_crc32c(length)),
                    content,
                    struct.pack("<I", masked_crc32c(content)),
                )
            )
        )


def _start_wandb(out: Path) -> Any:
    """A run named like the folder, the same one when the folder's run goes on; None where it isn't set up."""
    if importlib.util.find_spec("wandb") is None or not {"WANDB_API_KEY", "WANDB_MODE"} & os.environ.keys():
        return None
    wandb: Any = importlib.import_module("wandb")
    return wandb.init(dir=str(out), name=out.resolve().name, id=out.resolve().name, resume="allow")


@dataclasses.dataclass(frozen=True)
class Speed:
    """What throughput is measured against: chips of all processes, FLOPs a trained token, FLOP/s of a chip at
    most (None: unknown).
    """

    chips: int
    flops_per_token: float
    peak: float | None

    def figures(self, tokens_per_second: float) -> dict[str, float]:
        """The throughput by chip, and model FLOPs utilisation where the peak is known."""
        row = {
            "tokens_per_second": tokens_per_second,
            "tokens_per_second_per_chip": tokens_per_second / self.chips,
        }
        return (
            row
            if self.peak is None
            else row | {"mfu": tokens_per_second * self.flops_per_token / (self.chips * self.peak)}
        )


class Window:
    """Sums over the steps since the last row; `sources` of them."""

    def __init__(self, sources: int):
        self._sources = sources
        self.clear()

    def clear(self) -> None:
        """Begins anew."""
        self.nll_M, self.weight_M = np.zeros(len(MODALITIES)), np.zeros(len(MODALITIES))
        self.nll_N, self.weight_N = np.zeros(self._sources), np.zeros(self._sources)
        self.grad_norm, self.steps = 0.0, 0

    def add(self, host: StepMetrics) -> None:
        """Counts a step's figures."""
        self.nll_M += host.nll_M
        self.weight_M += host.weight_M
        self.nll_N += host.nll_N
        self.weight_N += host.weight_N
        self.grad_norm += float(host.grad_norm)
        self.steps += 1


class Meter:
    """Collects the steps' figures, one step late, and gives a row every `log_every` steps and at step `last`.

    rate: learning rate by number of updates made. sources: their names. epochs: passes over each source by
    position in the data.
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
        self._clock, self._log_every, self._last, self._rate, self._epochs, self._speed = (
            clock,
            log_every,
            last,
            rate,
            epochs,
            speed,
        )
        self._sources, self._window, self._pending = sources, Window(len(sources)), None

    def add(self, step: int, metrics: StepMetrics, position: Any) -> dict[str, float] | None:
        """Takes the figures of `step`, just dispatched, and reads those of the step before; returns its row
        if one is due.
        """
        row = self.flush()
        self._pending = (step, metrics, position)
        return row

    def flush(self) -> dict[str, float] | None:
        """Reads the figures last taken, waiting until that step is done; returns their row if one is due.

        Raises Halted where too many steps in a row were left out.
        """
        if self._pending is None:
            return None
        (step, metrics, position), self._pending = self._pending, None
        host = jax.device_get(metrics)
        if host.guard.in_a_row == 0:
            self._window.add(host)
        elif host.guard.in_a_row >= LIMIT:
            raise Halted(_diverged(step, host))
        return (
            self._row(step, position, int(host.guard.skipped))
            if step % self._log_every == 0 or step == self._last
            else None
        )

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
    """Mean losses: `name` over all targets, `name`_text, _speech, _tag by modality; each where there are any."""
    means = {name: float(nll_M.sum() / weight_M.sum())} if weight_M.any() else {}
    return means | {
        f"{name}_{kind}": float(nll / weight)
        for kind, nll, weight in zip(MODALITIES, nll_M, weight_M)
        if weight
    }


def memory(devices: Sequence[Any]) -> dict[str, float]:
    """GiB in use now and at most so far, of the fullest device; nothing where devices don't tell."""
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
    left_out = f" · {row['skipped_steps']} steps skipped" if row["skipped_steps"] else ""
    return f"loss {row['loss']:.3f} {parts} · {row['tokens_per_second']:,.0f} tokens/s · lr {row['lr']:.2e}{left_out}"


def _diverged(step: int, host: StepMetrics) -> str:
    loss = host.nll_M.sum() / max(host.weight_M.sum(), 1.0)
    usual = f"; {host.guard.mean_norm:.4g} is usual" if host.guard.counted else ""
    told = f"step {step:,}: loss {loss:.4g}, gradient norm {host.grad_norm:.4g}{usual}"
    return f"{LIMIT} steps in a row were skipped, the last of them {told}; go on from an earlier checkpoint with other data or a lower optim.peak_lr"


def _whole_rows(path: Path) -> Iterator[dict]:
    """The rows of a file whose last line may have been cut off."""
    text = path.read_text(encoding="utf-8")
    if not text.endswith("\n"):
        path.write_text(text[: text.rfind("\n") + 1], encoding="utf-8")
    yield from read_jsonl(path)
