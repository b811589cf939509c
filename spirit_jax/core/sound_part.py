"""Which part of a recording an utterance is."""

from typing import NamedTuple


class Part(NamedTuple):
    """Where it begins and how long it is, in seconds, None for up to the end; which channel, 0 for the first,
    None for the mean of all.
    """

    begin_s: float = 0.0
    length_s: float | None = None
    channel: int | None = None
