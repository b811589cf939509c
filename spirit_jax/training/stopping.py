"""SIGTERM asks a training to save and leave; it doesn't kill it."""

import contextlib
import signal
from collections.abc import Iterator


class Stop:
    """Whether the process was asked to leave."""

    asked = False


@contextlib.contextmanager
def stop_on_sigterm() -> Iterator[Stop]:
    """Notes SIGTERM instead of dying of it."""
    stop = Stop()

    def note(*_: object) -> None:
        stop.asked = True

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)
