"""Rows of metrics to metrics.jsonl, TensorBoard and Weights & Biases."""

import importlib
import importlib.util
import json
import os
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

from tensorboardX import summary
from tensorboardX.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]
from tensorboardX.record_writer import masked_crc32c

from spirit_jax.core.files import read_jsonl, write_bytes
from spirit_jax.core.growing_file import open_growing
from spirit_jax.core.paths import AnyPath, in_bucket, resolved


class Writer:
    """Writes rows to metrics.jsonl and TensorBoard, and to Weights & Biases if its package is installed and
    WANDB_API_KEY or WANDB_MODE is set.

    Rows of steps after `start` are dropped: a resumed run writes them again. Rows are buffered until the disk
    accepts writes.
    """

    def __init__(self, out: AnyPath, start: int):
        path = out / "metrics.jsonl"
        if path.exists():
            write_bytes(path, b"".join(_line(row) for row in _whole_rows(path) if row["step"] <= start))
        self._file, self._board = open_growing(path), _Board(out / "tensorboard", start)
        self._wandb = _start_wandb(out)

    def write(self, row: dict[str, float]) -> None:
        """One row; `step` is among its keys."""
        self._file.add(_line(row))
        values = {name: value for name, value in row.items() if name != "step"}
        self._board.write(int(row["step"]), values)
        if self._wandb is not None:
            self._wandb.log(values, step=row["step"])

    def flush(self) -> None:
        """Writes what is buffered. Call it before a checkpoint: a resumed run continues the rows up to it."""
        self._file.flush()
        self._board.flush()

    def close(self) -> None:
        """Writes what is buffered."""
        self._file.close()
        self._board.close()
        if self._wandb is not None:
            self._wandb.finish()


class _Board:
    """A file of TensorBoard events; it hides the events after `start` in older files.

    tensorboardX's own writer has a thread that dies on a full disk; later writes then block forever.
    """

    def __init__(self, folder: AnyPath, start: int):
        if not in_bucket(folder):
            folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        self._file = open_growing(folder / f"events.out.tfevents.{int(now)}.{socket.gethostname()}")
        self._add(Event(wall_time=now, file_version="brain.Event:2"))
        self._add(Event(wall_time=now, step=start + 1, session_log=SessionLog(status=SessionLog.START)))

    def write(self, step: int, values: dict[str, float]) -> None:
        """Scalars of a step by name."""
        for name, value in values.items():
            self._add(Event(wall_time=time.time(), step=step, summary=summary.scalar(name, value)))

    def flush(self) -> None:
        """Writes what is buffered."""
        self._file.flush()

    def close(self) -> None:
        """Writes what is buffered."""
        self._file.close()

    def _add(self, event: Event) -> None:
        """Adds a record: the length, the event, and a checksum of each."""
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


def _line(row: dict[str, float]) -> bytes:
    return (json.dumps(row) + "\n").encode()


def _start_wandb(out: AnyPath) -> Any:
    """A W&B run named like the folder, so that a resumed run continues it; None if W&B isn't set up."""
    if importlib.util.find_spec("wandb") is None or not {"WANDB_API_KEY", "WANDB_MODE"} & os.environ.keys():
        return None
    wandb: Any = importlib.import_module("wandb")
    name, folder = resolved(out).name, None if in_bucket(out) else str(out)
    return wandb.init(dir=folder, name=name, id=name, resume="allow")


def _whole_rows(path: AnyPath) -> Iterator[dict]:
    """The rows of a file whose last line may be incomplete."""
    content = path.read_bytes()
    if not content.endswith(b"\n"):
        path.write_bytes(content[: content.rfind(b"\n") + 1])
    yield from read_jsonl(path)
