"""SIGTERM, or the platform's notice of preemption, asks a training to save and exit instead of killing it."""

import contextlib
import signal
from collections.abc import Iterator

import jax
from jax.experimental import multihost_utils


class Stop:
    """Whether the process was asked to exit."""

    asked = False

    def before(self, step: int) -> bool:
        """Whether to exit before `step`. Call it before each step; all processes get the same answer.

        With several processes, `jax.distributed` handles SIGTERM and the platform's notice of preemption on
        each, and agrees on the step at which all exit.
        """
        return multihost_utils.reached_preemption_sync_point(step) if jax.process_count() > 1 else self.asked


@contextlib.contextmanager
def stop_on_sigterm() -> Iterator[Stop]:
    """Records SIGTERM, which then doesn't end the process."""
    stop = Stop()
    if jax.process_count() > 1:  # jax.distributed has its own handler
        yield stop
        return

    def note(*_: object) -> None:
        stop.asked = True

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)
