"""Place: batches on the devices, made by a thread while earlier steps run.

B rows of a batch over all processes, T tokens. The rows of a batch are divided evenly among the streams, in
their order, and rows are split over data and fsdp of the mesh: a process reads the streams whose rows its
devices hold. So any number of processes that divides the streams trains on the same batches, and a run may
resume with another number.
"""

from collections.abc import Sequence
from typing import Any

import grain
import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh, NamedSharding

from spirit_jax.config import RunConfig
from spirit_jax.core.errors import UserError
from spirit_jax.model.batch import Batch
from spirit_jax.sharding import pspec
from spirit_jax.training.data.batches import records_read, training_batches
from spirit_jax.training.data.sources import OpenSource

AHEAD = 2  # batches that wait on the devices: our choice


class DeviceBatches:
    """The training batches of a run, for one process."""

    def __init__(self, sources: Sequence[OpenSource], config: RunConfig, mesh: Mesh):
        data, rows = config.data, config.train.batch_rows
        self._sources, self._count = sources, data.streams
        self._streams = streams_here(mesh, rows, data.streams)
        self._written = [
            stream
            for stream in self._streams
            if _first_reader(mesh, rows, data.streams, stream) == jax.process_index()
        ]
        part = rows // data.streams
        here = np.concatenate([np.arange(stream * part, (stream + 1) * part) for stream in self._streams])
        parts = [
            training_batches(
                sources, data.sequence_length, part, config.train.seed, stream, data.streams, data.workers
            )
            for stream in self._streams
        ]
        placed = grain.experimental.ZipIterDataset(parts).map(
            lambda batches: place(_stacked(batches), mesh, rows, here)
        )
        self._iterator: grain.DatasetIterator = iter(
            grain.experimental.ThreadPrefetchIterDataset(placed, prefetch_buffer_size=AHEAD)
        )

    def take(self) -> Batch:
        """The next batch."""
        return next(self._iterator)

    @property
    def position(self) -> list[dict[str, Any]]:
        """The states of this process' streams after the batch last taken."""
        return self._iterator.get_state()["parents"]

    def files(self, position: list[dict[str, Any]]) -> dict[str, dict]:
        """A position as JSON values by name of stream, those that this process writes. The sizes of the
        sources show whether the data changed.
        """
        states = dict(zip(self._streams, position))
        return {
            self._name(stream): {"records": self._sizes, "iterator": states[stream]}
            for stream in self._written
        }

    @property
    def names(self) -> list[str]:
        """The names of the values that this process needs to resume."""
        return [self._name(stream) for stream in self._streams]

    def go_to(self, files: dict[str, dict]) -> None:
        """Resumes where `files`, with a value for each of `names`, was made. Raises a UserError if the data
        changed since.
        """
        values = [files[name] for name in self.names]
        for value in values:
            if value["records"] != self._sizes:
                made = f"the checkpoint was made with {value['records']}"
                fix = "restore the shards used when the checkpoint was written"
                raise UserError("data.sources", f"{self._sizes} records", made, fix)
        self._iterator.set_state({"parents": [value["iterator"] for value in values]})

    def epochs(self, position: list[dict[str, Any]]) -> dict[str, float]:
        """Passes over each source so far, of the part that this process reads."""
        read = records_read(position) * (self._count / len(self._streams))
        return {source.name: float(count / len(source.rows)) for source, count in zip(self._sources, read)}

    def close(self) -> None:
        """Ends the readers."""
        self._iterator.close()

    def _name(self, stream: int) -> str:
        return f"stream_{stream}-of-{self._count}"

    @property
    def _sizes(self) -> list[int]:
        return [len(source.rows) for source in self._sources]


def check_batch(config: RunConfig, mesh: Mesh | AbstractMesh) -> None:
    """Raises a UserError if a part of the batch doesn't divide over the mesh, by rows or by
    tokens of a row.
    """
    parts, rows = mesh.shape["data"] * mesh.shape["fsdp"], config.train.batch_rows // config.train.accumulate
    if rows % parts:
        rule = f"batch_rows / accumulate = {rows} must be divisible by data × fsdp = {parts}"
        raise UserError(
            "train.batch_rows",
            config.train.batch_rows,
            rule,
            f"set it to a multiple of {parts * config.train.accumulate}",
        )
    if config.data.sequence_length % mesh.shape["context"]:
        rule = f"must be divisible by mesh.context = {mesh.shape['context']}"
        raise UserError(
            "data.sequence_length", config.data.sequence_length, rule, "set mesh.context to a divisor"
        )


def streams_here(mesh: Mesh, rows: int, streams: int) -> list[int]:
    """The streams whose rows of a batch this process' devices hold, ascending.

    Raises a UserError if `streams` doesn't divide the rows, or a process would need a part of a stream.
    """
    if rows % streams:
        raise UserError("data.streams", streams, f"must divide train.batch_rows = {rows}", "set a divisor")
    held, part = _rows_of(mesh, rows)[jax.process_index()], rows // streams
    here = [stream for stream in range(streams) if held & set(range(stream * part, (stream + 1) * part))]
    if len(here) * part != len(held):
        count = jax.process_count()
        rule = (
            f"must give each of the {count} processes whole streams: this one "
            f"holds {len(held)} of {rows} rows"
        )
        raise UserError(
            "data.streams", streams, rule, f"set data.streams={mesh.shape['data'] * mesh.shape['fsdp']}"
        )
    return here


def place(batch: Batch, mesh: Mesh, rows: int, here: np.ndarray) -> Batch:
    """Puts host arrays, the rows `here` (ascending) of a batch of `rows`, on the devices: global arrays split
    by rows over the mesh.
    """
    sharding = NamedSharding(mesh, pspec(("batch",)))
    if jax.process_count() == 1:
        return jax.device_put(batch, sharding)

    def put(x_BT: np.ndarray) -> jax.Array:
        def part(index: tuple[slice, ...]) -> np.ndarray:
            start, stop, _ = index[0].indices(rows)
            first = int(np.searchsorted(here, start))
            return x_BT[first : first + stop - start]

        return jax.make_array_from_callback((rows, x_BT.shape[1]), sharding, part)

    return jax.tree.map(put, batch)


def _stacked(batches: Sequence[Batch]) -> Batch:
    """The streams' batches as one, their rows in the streams' order."""
    return jax.tree.map(lambda *parts: np.concatenate(parts), *batches)


def _rows_of(mesh: Mesh, rows: int) -> dict[int, set[int]]:
    """The rows of a batch that each process' devices hold, by number of process."""
    held: dict[int, set[int]] = {}
    for device, index in NamedSharding(mesh, pspec(("batch",))).devices_indices_map((rows,)).items():
        held.setdefault(device.process_index, set()).update(range(*index[0].indices(rows)))
    return held


def _first_reader(mesh: Mesh, rows: int, streams: int, stream: int) -> int:
    """The first process that reads a stream; several do if the mesh splits the tokens of a row, or weights,
    over processes.
    """
    return min(
        process for process, held in _rows_of(mesh, rows).items() if stream * (rows // streams) in held
    )
