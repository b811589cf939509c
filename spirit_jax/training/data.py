"""Records become batches: arrange, mix by tokens, pack, batch. Deterministic, resumable to the bit.

B rows, T tokens a row, n ids of a document.

Each source's records are shuffled anew for every epoch; spans are drawn from (seed, source, epoch, record), so they are drawn anew at every
pass (paper appendix A: at every step) and depend on nothing else. A document of n ids becomes n - 1 pairs (token, target): the shift happens
here, once, and nothing is predicted across documents. Documents longer than a row are cut into pieces of a row's length, the last one shorter;
no target is lost at a cut, but a piece doesn't see the one before (a choice). Documents that fit are never cut: rows are filled first-fit
and padded (segment 0). A host reads its own records: those whose index is its number modulo the number of hosts.
"""

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import grain
import numpy as np
from grain.experimental import FirstFitPackIterDataset, FlatMapIterDataset, FlatMapTransform, index_shuffle

from spirit_jax.batch import Batch
from spirit_jax.config import Arrangement
from spirit_jax.errors import UserError
from spirit_jax.tokens.interleave import Record, Spans, arrange
from spirit_jax.tokens.vocab import Vocabulary
from spirit_jax.training.mixture import TokenMixture

BINS = 64  # rows filled at once: 98 % full at 4096, 94 % at 256, and no fuller with more
PERMUTE_BELOW = 2**16  # index_shuffle walks a domain of at least this size: 1 ms an index for 100 records, 4 us for 100,000
ON_LOCAL_DISK = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)  # reader threads were slower


@dataclasses.dataclass(frozen=True)
class Feed:
    """One source, opened. rows: random access to `Record`s, or to finished documents (int32 ids), which are left as they are.

    name: for messages and metrics. weight: share of the tokens, in any unit.
    """

    name: str
    rows: Sequence[Record | np.ndarray]
    arrangement: Arrangement = Arrangement.INTERLEAVED
    weight: float = 1.0


@dataclasses.dataclass(frozen=True)
class Arranger:
    """How records become documents, but for the arrangement itself: see `spirit_jax.tokens.interleave.arrange`."""

    vocabulary: Vocabulary
    spans: Spans = Spans()
    asr_marker_ids: tuple[int, ...] = ()
    tts_marker_ids: tuple[int, ...] = ()
    append_eos: bool = True

    def documents(self, row: Record | np.ndarray, arrangement: Arrangement, draw: Sequence[int]) -> list[np.ndarray]:
        """The row's documents, int32 ids each; `draw` seeds the spans."""
        if isinstance(row, np.ndarray):
            return [row]
        rng = np.random.default_rng(draw)
        markers = self.asr_marker_ids, self.tts_marker_ids
        return arrange(row, arrangement, self.vocabulary, self.spans, rng, *markers, append_eos=self.append_eos)


@dataclasses.dataclass(frozen=True)
class Host:
    """Which of how many processes this one is."""

    index: int = 0
    count: int = 1


def training_batches(
    feeds: Sequence[Feed], arranger: Arranger, length: int, rows: int, seed: int, host: Host = Host(), workers: int = 0
) -> grain.IterDataset:
    """An endless dataset of `Batch`es [rows, length] of host arrays; `rows` are this host's.

    Iterate with `iter`; the iterator's `get_state` is JSON-able and `set_state` goes on exactly there. Raises a UserError for a
    source with fewer records than hosts.
    """
    parents = []
    for place, feed in enumerate(feeds):
        reader = _EndlessReader(feed, arranger, (seed, place), host)
        parents.append(grain.MapDataset.range(sys.maxsize).map(reader).to_iter_dataset(ON_LOCAL_DISK))
    counts = [-(-(len(feed.rows) - host.index) // host.count) for feed in feeds]
    mixed = TokenMixture(parents, [feed.weight for feed in feeds], counts)
    batches = _pack(mixed, length, seed).batch(rows, drop_remainder=True)
    if workers:
        batches = batches.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))
    return batches.map(_to_batch)


def validation_batches(feed: Feed, arranger: Arranger, length: int, rows: int, seed: int, host: Host = Host()) -> Iterator[Batch]:
    """One pass over all records, the same each time; the last batch is filled up with empty rows.

    `rows` are of all hosts; each host arranges everything and keeps its part, so that all have equally many batches.
    """
    reader = _OncePerRecordReader(feed, arranger, seed)
    documents = grain.MapDataset.range(len(feed.rows)).map(reader).to_iter_dataset(ON_LOCAL_DISK)
    part = rows // host.count
    for packed in _pack(documents, length, seed).batch(rows, drop_remainder=False):
        padded = {name: np.pad(x, [(0, rows - len(x))] + [(0, 0)] * (x.ndim - 1)) for name, x in packed.items()}
        yield _to_batch({name: x[host.index * part : (host.index + 1) * part] for name, x in padded.items()})


def records_read(state: Any) -> np.ndarray:
    """How many records of each source an iterator state has taken, int [sources]; its packer may run some rows ahead."""
    if isinstance(state, dict) and "records" in state:
        return np.asarray(state["records"])
    children = state.values() if isinstance(state, dict) else state if isinstance(state, (list, tuple)) else ()
    found = [count for count in map(records_read, children) if count.size]
    return np.sum(found, axis=0) if found else np.zeros(0, int)


class _EndlessReader:
    """Documents of the i-th record that a host reads from a source, epoch after epoch."""

    def __init__(self, feed: Feed, arranger: Arranger, seed: tuple[int, int], host: Host):
        if len(feed.rows) < host.count:
            raise UserError(feed.name, f"{len(feed.rows)} records", f"needs one for each of the {host.count} hosts", "use fewer hosts or more data")
        self.feed, self.arranger, self.seed, self.host = feed, arranger, seed, host
        self.count = -(-(len(feed.rows) - host.index) // host.count)
        self.order = (-1, np.zeros(0, np.int64))

    def __call__(self, index: int) -> list[np.ndarray]:
        epoch, place = divmod(index, self.count)
        record = self.host.index + self._shuffled(epoch, place) * self.host.count
        return self.arranger.documents(self.feed.rows[record], self.feed.arrangement, (*self.seed, epoch, record))

    def _shuffled(self, epoch: int, place: int) -> int:
        if self.count >= PERMUTE_BELOW:
            seed = int(np.random.SeedSequence((*self.seed, epoch)).generate_state(1)[0])
            return index_shuffle(place, max_index=self.count - 1, seed=seed, rounds=4)
        if self.order[0] != epoch:
            self.order = epoch, np.random.default_rng((*self.seed, epoch)).permutation(self.count)
        return int(self.order[1][place])


class _OncePerRecordReader:
    def __init__(self, feed: Feed, arranger: Arranger, seed: int):
        self.feed, self.arranger, self.seed = feed, arranger, seed

    def __call__(self, index: int) -> list[np.ndarray]:
        return self.arranger.documents(self.feed.rows[index], self.feed.arrangement, (self.seed, index))


class _CutToRows(FlatMapTransform):
    """Documents -> pieces of at most a row: pairs int32 [length, 2] of token and target."""

    def __init__(self, length: int):
        self.length = length

    def flat_map(self, element: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
        pieces = []
        for document in element:
            pairs = np.stack([document[:-1], document[1:]], axis=1)
            pieces += [{"pairs": pairs[start : start + self.length]} for start in range(0, len(pairs), self.length)]
        return pieces


def _pack(documents: grain.IterDataset, length: int, seed: int) -> grain.IterDataset:
    pieces = FlatMapIterDataset(documents, _CutToRows(length))
    return FirstFitPackIterDataset(pieces, length_struct={"pairs": length}, num_packing_bins=BINS, seed=seed)


def _to_batch(packed: dict[str, np.ndarray]) -> Batch:
    pairs_BT2, segment_ids_BT = packed["pairs"], packed["pairs_segment_ids"]
    return Batch(  # pyright: ignore[reportArgumentType]
        tokens=np.ascontiguousarray(pairs_BT2[..., 0]),
        targets=np.ascontiguousarray(pairs_BT2[..., 1]),
        loss_weights=(segment_ids_BT > 0).astype(np.float32),
        segment_ids=segment_ids_BT,
        positions=packed["pairs_positions"],
    )
