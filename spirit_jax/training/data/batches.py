"""Records become batches: arrange, mix by tokens, pack. Deterministic, resumable to the bit.

B rows, T tokens a row, n ids of a document.

Each source's records are shuffled anew for every epoch; spans are drawn from (seed, source, epoch, record),
so they are drawn anew at every pass (paper appendix A: at every step) and depend on nothing else. A document
of n ids becomes n - 1 pairs (token, target): the shift happens here, once, and nothing is predicted across
documents. Documents longer than a row are cut into pieces of a row's length, the last one shorter; no target
is lost at a cut, but a piece doesn't see the one before (a choice). Documents that fit are never cut: rows
are filled best-fit and padded (segment 0). A stream has its own records, those whose index is its number
modulo the number of streams, and its own rows of every batch: what a step trains on doesn't depend on how the
streams are divided among processes.
"""

import collections
import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any

import absl.flags
import grain
import jax
import numpy as np
from grain.experimental import index_shuffle

from spirit_jax.core.errors import UserError
from spirit_jax.model.batch import Batch
from spirit_jax.tokens.interleave import Arrangement, Record, Spans, arrange
from spirit_jax.tokens.vocabulary import Vocabulary
from spirit_jax.training.data.mixture import TokenMixture
from spirit_jax.training.data.packing import Bins, Piece, cut, make_batch

# index_shuffle walks a domain of at least this size: 1 ms an index for 100 records, 4 us for 100,000
PERMUTE_BELOW = 2**16


@dataclasses.dataclass(frozen=True)
class Feed:
    """One source, opened. rows: random access to `Record`s, or to finished documents (int32 ids), which are
    left as they are.

    name: for messages and metrics. weight: share of the tokens, in any unit.
    """

    name: str
    rows: Sequence[Record | np.ndarray]
    arrangement: Arrangement = Arrangement.INTERLEAVED
    weight: float = 1.0


@dataclasses.dataclass(frozen=True)
class Arranger:
    """How records become documents, but for the arrangement itself: see
    `spirit_jax.tokens.interleave.arrange`.
    """

    vocabulary: Vocabulary
    spans: Spans = Spans()
    asr_marker_ids: tuple[int, ...] = ()
    tts_marker_ids: tuple[int, ...] = ()
    append_eos: bool = True

    def documents(
        self, row: Record | np.ndarray, arrangement: Arrangement, draw: Sequence[int]
    ) -> list[np.ndarray]:
        """The row's documents, int32 ids each; `draw` seeds the spans."""
        if isinstance(row, np.ndarray):
            return [row]
        rng = np.random.default_rng(draw)
        markers = self.asr_marker_ids, self.tts_marker_ids
        return arrange(
            row, arrangement, self.vocabulary, self.spans, rng, *markers, append_eos=self.append_eos
        )


@dataclasses.dataclass(frozen=True)
class Stream:
    """Which of how many streams."""

    index: int = 0
    count: int = 1


def training_batches(
    feeds: Sequence[Feed],
    arranger: Arranger,
    length: int,
    rows: int,
    seed: int,
    stream: Stream = Stream(),
    workers: int = 0,
) -> grain.IterDataset:
    """An endless dataset of `Batch`es [rows, length] of host arrays; `rows` are this stream's.

    Iterate with `iter`; the iterator's `get_state` is JSON-able and `set_state` goes on exactly there. Raises
    a UserError for a source with fewer records than streams. With `workers`, that many processes read; the
    order depends on their number.
    """
    readers = [EpochReader(feed, arranger, (seed, place), stream) for place, feed in enumerate(feeds)]
    batches = _Batches(readers, [feed.weight for feed in feeds], length, rows)
    if not workers:
        return batches
    absl.flags.FLAGS.mark_as_parsed()  # Grain reads flags of its own in the processes that it starts
    return batches.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))


def joined(streams: Sequence[grain.IterDataset]) -> grain.IterDataset:
    """The streams' batches one below the other; the state is the list of theirs."""
    return _Joined(streams)


def validation_batches(feed: Feed, arranger: Arranger, length: int, rows: int, seed: int) -> Iterator[Batch]:
    """One pass over all records, the same each time; the last batch is filled up with empty rows. Every
    process makes all rows.
    """
    packed = _pack_once(feed, arranger, length, seed)
    while full := [row for _, row in zip(range(rows), packed)]:
        yield make_batch(full, rows, length)


def records_read(state: Any) -> np.ndarray:
    """How many records of each source an iterator state has taken, int [sources]; the last rows may still be
    waiting.
    """
    if isinstance(state, dict) and "records" in state:
        return np.asarray(state["records"])
    children = (
        state.values() if isinstance(state, dict) else state if isinstance(state, (list, tuple)) else ()
    )
    found = [count for count in map(records_read, children) if count.size]
    return np.sum(found, axis=0) if found else np.zeros(0, int)


class EpochReader:
    """Documents of the i-th record that a stream reads from a source, epoch after epoch."""

    def __init__(self, feed: Feed, arranger: Arranger, seed: tuple[int, int], stream: Stream = Stream()):
        if len(feed.rows) < stream.count:
            rule = f"needs one for each of the {stream.count} streams"
            raise UserError(
                feed.name,
                f"{len(feed.rows)} records",
                rule,
                "use more data, or fewer processes and data.streams",
            )
        self.feed, self.arranger, self.seed, self.stream = feed, arranger, seed, stream
        self.count = len(range(stream.index, len(feed.rows), stream.count))
        self._order = (-1, np.zeros(0, np.int64))

    def __call__(self, index: int) -> list[np.ndarray]:
        """Documents, int32 ids each, of read `index`; epochs follow one another."""
        epoch, place = divmod(index, self.count)
        record = self.stream.index + self.shuffled(epoch, place) * self.stream.count
        return self.arranger.documents(
            self.feed.rows[record], self.feed.arrangement, (*self.seed, epoch, record)
        )

    def shuffled(self, epoch: int, place: int) -> int:
        """The stream's record that is read at `place` of an epoch: a permutation of range(count), another one
        each epoch.
        """
        if self.count >= PERMUTE_BELOW:
            seed = int(np.random.SeedSequence((*self.seed, epoch)).generate_state(1)[0])
            return index_shuffle(place, max_index=self.count - 1, seed=seed, rounds=4)
        if self._order[0] != epoch:
            self._order = epoch, np.random.default_rng((*self.seed, epoch)).permutation(self.count)
        return int(self._order[1][place])


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
    """State: the mixture's counts, and the names (source, index, piece) of what waits in open rows and behind
    them.
    """

    def __init__(self, of: _Batches):
        super().__init__()
        self._of = of
        self._restart()

    def _restart(self) -> None:
        of = self._of
        self._mixture = TokenMixture(
            of.readers, of.weights, [reader.count for reader in of.readers], of.first, of.step
        )
        self._bins, self._waiting = Bins(of.length), collections.deque()

    def __next__(self) -> Batch:
        done = []
        while len(done) < self._of.rows:
            if not self._waiting:
                source, index, documents = self._mixture.take()
                self._waiting.extend(self._pieces(source, index, documents))
            row = self._bins.add(self._waiting.popleft())
            if row is not None:
                done.append(row)
        return make_batch(done, self._of.rows, self._of.length)

    def _pieces(self, source: int, index: int, documents: list[np.ndarray]) -> list[Piece]:
        pieces = [piece for document in documents for piece in cut(document, self._of.length)]
        return [((source, index, number), ids) for number, ids in enumerate(pieces)]

    def get_state(self) -> dict[str, Any]:
        """JSON-able; see `set_state`. Names are one string: Grain copies the state of each batch deeply,
        which takes 0.5 ms for lists of them.
        """
        rows = [[name for name, _ in row] for row in self._bins.rows]
        counts = {"records": list(self._mixture.records), "tokens": list(self._mixture.tokens)}
        return {**counts, "open": json.dumps({"rows": rows, "waiting": [name for name, _ in self._waiting]})}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on exactly where `get_state` was called: what was waiting is read and arranged again."""
        self._restart()
        self._mixture.records, self._mixture.tokens = list(state["records"]), list(state["tokens"])
        names = json.loads(state["open"])
        for bin, row in enumerate(names["rows"]):
            self._bins.put(bin, [self._find(*name) for name in row])
        self._waiting.extend(self._find(*name) for name in names["waiting"])

    def _find(self, source: int, index: int, number: int) -> Piece:
        return self._pieces(source, index, self._of.readers[source](index))[number]


class _Joined(grain.IterDataset):
    def __init__(self, streams: Sequence[grain.IterDataset]):
        super().__init__()
        self.streams = streams

    def __iter__(self) -> "_JoinedIterator":
        return _JoinedIterator([iter(stream) for stream in self.streams])


class _JoinedIterator(grain.DatasetIterator):
    def __init__(self, iterators: Sequence[grain.DatasetIterator]):
        super().__init__()
        self._iterators = iterators

    def __next__(self) -> Batch:
        return jax.tree.map(lambda *parts: np.concatenate(parts), *map(next, self._iterators))

    def get_state(self) -> list[dict[str, Any]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The streams' states, in their order."""
        return [iterator.get_state() for iterator in self._iterators]

    def set_state(self, state: list[dict[str, Any]]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Each stream goes on where its state was taken."""
        for iterator, part in zip(self._iterators, state, strict=True):
            iterator.set_state(part)

    def close(self) -> None:
        """Ends reader processes."""
        for iterator in self._iterators:
            iterator.close()


def _pack_once(feed: Feed, arranger: Arranger, length: int, seed: int) -> Iterator[list[Piece]]:
    bins = Bins(length)
    for index in range(len(feed.rows)):
        for document in arranger.documents(feed.rows[index], feed.arrangement, (seed, index)):
            for number, ids in enumerate(cut(document, length)):
                row = bins.add(((0, index, number), ids))
                if row is not None:
                    yield row
    yield from filter(None, bins.rows)
