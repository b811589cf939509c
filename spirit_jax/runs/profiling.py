"""A trace of some steps, for TensorBoard's profiler or Perfetto: `--profile 10:13`.

JAX writes traces to a local folder only. For a run in a bucket that is a temporary one, copied at the end.
"""

import tempfile
from pathlib import Path
from typing import Any

import jax

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import copy_files
from spirit_jax.core.paths import AnyPath


def parse_steps(text: str) -> tuple[int, int]:
    """`10:13` -> (10, 13), the first and the last step traced, from 1. Raises a UserError for
    anything else.
    """
    first, _, last = text.partition(":")
    if not (first.isdigit() and last.isdigit() and 1 <= int(first) <= int(last)):
        raise UserError(
            "--profile", text, "must be FIRST:LAST, steps from 1 on", "for example --profile 10:13"
        )
    return int(first), int(last)


class Profile:
    """Traces the steps (first, last) into the run's folder `profile`; no steps: traces nothing."""

    def __init__(self, out: AnyPath, steps: tuple[int, int] | None):
        self._out, self._steps, self._running = out / "profile", steps, False
        self._copied: tempfile.TemporaryDirectory | None = None

    def begin(self, step: int) -> None:
        """Call before `step`."""
        if self._steps is not None and not self._running and self._steps[0] <= step <= self._steps[1]:
            if not isinstance(self._out, Path):
                self._copied = tempfile.TemporaryDirectory()
            jax.profiler.start_trace(str(self._out) if self._copied is None else self._copied.name)
            self._running = True

    def end(self, step: int, outputs: Any) -> None:
        """Call when `step` is dispatched; the end of the trace waits for its `outputs`."""
        if self._running and self._steps is not None and step >= self._steps[1]:
            jax.block_until_ready(outputs)
            self.close()

    def close(self) -> None:
        """Writes the trace if it is still running."""
        if self._running:
            jax.profiler.stop_trace()
            self._running = False
            if self._copied is not None:
                with self._copied as folder:
                    copy_files(Path(folder), self._out)
