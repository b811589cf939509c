"""Batches of host arrays: records arranged, mixed and packed. Deterministic, resumable to the bit.

B rows, T tokens a row, n ids of a document.

A document of n ids becomes n - 1 pairs (token, target): the shift happens here, once, and nothing is
predicted across documents. Documents longer than a row are cut into chunks of a row's length, the last one
shorter. Each begins as a prompt does (`tokens.long_documents`); no target is lost at a cut, but a chunk
doesn't see the one before (our choice). Documents that fit are never cut: rows are filled best-fit and padded
(segment 0).

Records and rows are divided among streams: a stream reads the records whose index is its number modulo the
number of streams, and packs its own rows of every batch. So what a step trains on doesn't depend on how the
streams are divided among processes.
"""

import collections
import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import absl.flags
import grain
import numpy as np

from spirit_jax.core.batching import Chunk, OpenRows
from spirit_jax.model.batch import Batch, make_batch
from spirit_jax.tokens.long_documents import cut_document
from spirit_jax.training.data.epochs import EpochReader, Fetched
from spirit_jax.training.data.mixture import TokenMixture
from spirit_jax.training.data.reading import ReadAhead, read_all, read_in_order
from spirit_jax.training.data.sources import OpenSource, documents

# a chunk's name: source, number of the read there, number among the record's chunks, ids that are no targets
Name = tuple[int, int, int, int]


def training_batches(
    sources: Sequence[OpenSource],
    length: int,
    rows: int,
    seed: int,
    stream: int = 0,
    streams: int = 1,
    workers: int = 0,
) -> grain.IterDataset:
    """An endless dataset of stream `stream`'s `Batch`es [rows, length], host arrays.

    An iterator's `get_state` is JSON-able, and `set_state` resumes exactly there. With `workers`, that many
    processes read; the order depends on their number. Raises a UserError for a source with fewer records than
    streams.
    """
    readers = [EpochReader(source, (seed, index), stream, streams) for index, source in enumerate(sources)]
    batches = _Batches(readers, [source.weight for source in sources], length, rows)
    if not workers:
        return batches
    absl.flags.FLAGS.mark_as_parsed()  # Grain reads its own flags in the processes that it starts
    return batches.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))


def validation_batches(source: OpenSource, length: int, rows: int, seed: int) -> Iterator[Batch]:
    """One pass over all records, the same each time; the last batch is padded with empty rows. Every process
    makes all rows.
    """
    packed = _pack_once(source, length, seed)
    while full := [row for _, row in zip(range(rows), packed)]:
        yield _to_batch(full, rows, length)


def records_read(state: Any) -> np.ndarray:
    """How many records of each source an iterator state has read, int [sources]; the last of them may still
    wait in open rows.
    """
    if isinstance(state, dict) and "records" in state:
        return np.asarray(state["records"])
    children = (
        state.values() if isinstance(state, dict) else state if isinstance(state, (list, tuple)) else ()
    )
    found = [count for count in map(records_read, children) if count.size]
    return np.sum(found, axis=0) if found else np.zeros(0, int)


class _Batches(grain.IterDataset):
    """The endless dataset; Grain's `mp_prefetch` gives each of its processes a slice of the records."""

    def __init__(self, readers: Sequence[EpochReader], weights: Sequence[float], length: int, rows: int):
        super().__init__()
        self.readers, self.weights, self.length, self.rows = readers, weights, length, rows
        self.first, self.step = 0, 1

    def set_slice(self, sl: slice, sequential_slice: bool = False) -> None:
        """Grain's interface: read every `step`-th record only."""
        self.first, self.step = sl.start or 0, sl.step or 1

    def __iter__(self) -> "_BatchIterator":
        return _BatchIterator(self)


class _BatchIterator(grain.DatasetIterator):
    """State: the mixture's counts, and the names (source, read, chunk) of the chunks in open rows and of
    those that wait for one. Records that are read ahead are not in it.
    """

    def __init__(self, of: _Batches):
        super().__init__()
        self._of = of
        self._ahead = [ReadAhead(reader.fetch, of.first, of.step) for reader in of.readers]
        self._readers = [partial(_arrange, *both) for both in zip(of.readers, self._ahead, strict=True)]
        self._restart()

    def _restart(self) -> None:
        of = self._of
        self._mixture = TokenMixture(
            self._readers, of.weights, [reader.count for reader in of.readers], of.first, of.step
        )
        self._packer, self._waiting = OpenRows[Name](of.length), collections.deque()
        self._started = False

    def __next__(self) -> Batch:
        if not self._started:  # all sources at once
            for ahead, records in zip(self._ahead, self._mixture.records):
                ahead.start(self._of.first + records * self._of.step)
            self._started = True
        done = []
        while len(done) < self._of.rows:
            if not self._waiting:
                self._waiting.extend(self._chunks(*self._mixture.take()))
            row = self._packer.add(self._waiting.popleft())
            if row is not None:
                done.append(row)
        return _to_batch(done, self._of.rows, self._of.length)

    def _chunks(self, source: int, read: int, found: list[np.ndarray]) -> list[Chunk[Name]]:
        """The named chunks of the documents found."""
        return _cut(self._of.readers[source].source, source, read, found, self._of.length)

    def get_state(self) -> dict[str, Any]:
        """JSON-able. The names are one string: Grain deep-copies the state of each batch, which takes 0.5 ms
        for lists of them.
        """
        rows = [[name[:3] for name, _ in row] for row in self._packer.rows]
        counts = {"records": list(self._mixture.records), "tokens": list(self._mixture.tokens)}
        return {
            **counts,
            "open": json.dumps({"rows": rows, "waiting": [name[:3] for name, _ in self._waiting]}),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Resumes exactly where `get_state` was called: the chunks of open rows are read and arranged again,
        in parallel.
        """
        self._restart()
        self._mixture.records, self._mixture.tokens = list(state["records"]), list(state["tokens"])
        names = json.loads(state["open"])
        reads = {(source, read) for row in (*names["rows"], names["waiting"]) for source, read, _ in row}
        chunks = dict(read_all(self._reread, reads))
        for row, found in enumerate(names["rows"]):
            self._packer.restore(row, [chunks[source, read][number] for source, read, number in found])
        self._waiting.extend(chunks[source, read][number] for source, read, number in names["waiting"])

    def _reread(self, key: tuple[int, int]) -> tuple[tuple[int, int], list[Chunk[Name]]]:
        """A source and its read, with the chunks that the read gave."""
        source, read = key
        reader = self._of.readers[source]
        return key, self._chunks(source, read, reader.arrange(*reader.fetch([read])))

    def close(self) -> None:
        """Ends the threads that read ahead."""
        super().close()
        for reader in self._ahead:
            reader.close()


def _arrange(reader: EpochReader, ahead: ReadAhead[Fetched], read: int) -> list[np.ndarray]:
    """The documents of read number `read`, which is fetched ahead."""
    return reader.arrange(ahead(read))


def _cut(
    opened: OpenSource, source: int, read: int, found: list[np.ndarray], length: int
) -> list[Chunk[Name]]:
    """The named chunks of the documents of a read."""
    stretches = [cut for document in found for cut in cut_document(document, length, opened.vocabulary)]
    return [((source, read, number, given), ids) for number, (ids, given) in enumerate(stretches)]


def _pack_once(source: OpenSource, length: int, seed: int) -> Iterator[list[Chunk[Name]]]:
    packer = OpenRows[Name](length)
    reads = read_in_order(source.rows.__getitems__, range(len(source.rows)))
    for index, stored in enumerate(reads):
        for chunk in _cut(source, 0, index, documents(source, stored, (seed, index)), length):
            row = packer.add(chunk)
            if row is not None:
                yield row
    yield from filter(None, packer.rows)


def _to_batch(rows: Sequence[Sequence[Chunk[Name]]], count: int, length: int) -> Batch:
    """The rows as host arrays [count, length], with each token's source."""
    ids = [[ids for _, ids in row] for row in rows]
    sources = [[source for (source, *_), _ in row] for row in rows]
    return make_batch(ids, count, length, sources, [[given for (*_, given), _ in row] for row in rows])
