"""Arrange: the records that a stream reads from a source, epoch after epoch, and their documents.

Every epoch reads the records in another order and draws their spans again, from (seed, source, epoch, record)
alone (paper, appendix A: "at every training step"). So the draws depend on nothing else, and any read can be
repeated.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from grain.experimental import index_shuffle

from spirit_jax.training.data.sources import OpenSource, check_count, documents

# index_shuffle permutes a domain of at least this size: 1 ms an index for 100 records, 4 us for 100,000
PERMUTE_BELOW = 2**16


class Fetched(NamedTuple):
    """A record of a source as it is stored, its index there, and the epoch in which it is read."""

    epoch: int
    record: int
    stored: Any


class EpochReader:
    """Reads one source for stream `stream` of `streams`, whose records are those with that index modulo
    `streams`. seed: the run's and the source's index in the mixture.

    Raises a UserError if there are fewer records than streams.
    """

    def __init__(self, source: OpenSource, seed: tuple[int, int], stream: int = 0, streams: int = 1):
        check_count(source, streams)
        self.source, self.seed, self.stream, self.streams = source, seed, stream, streams
        self.count = len(range(stream, len(source.rows), streams))
        self._order = (-1, np.zeros(0, np.int64))

    def fetch(self, reads: Sequence[int]) -> list[Fetched]:
        """The records of these read numbers, which count from 0 without end."""
        places = [divmod(read, self.count) for read in reads]
        records = [self.stream + self.shuffled(*place) * self.streams for place in places]
        stored = self.source.rows.__getitems__(records)
        return [Fetched(epoch, *both) for (epoch, _), *both in zip(places, records, stored, strict=True)]

    def arrange(self, fetched: Fetched) -> list[np.ndarray]:
        """Its documents, int32 ids each."""
        epoch, record, stored = fetched
        return documents(self.source, stored, (*self.seed, epoch, record))

    def shuffled(self, epoch: int, index: int) -> int:
        """Which of the stream's records is read at `index` of an epoch: a permutation of range(count),
        another one each epoch.
        """
        if self.count >= PERMUTE_BELOW:
            seed = int(np.random.SeedSequence((*self.seed, epoch)).generate_state(1)[0])
            return index_shuffle(index, max_index=self.count - 1, seed=seed, rounds=4)
        order = self._order  # threads read ahead into the next epoch
        if order[0] != epoch:
            order = self._order = epoch, np.random.default_rng((*self.seed, epoch)).permutation(self.count)
        return int(order[1][index])
