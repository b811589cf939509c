"""Calls on many rows, divided among the devices of this process, in batches that fit into their memory.

Each device runs the same program on its own rows, so a row gives the same numbers as on one device.
"""

import collections
import dataclasses
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from spirit_jax.core.batching import Bucket
from spirit_jax.core.errors import is_out_of_memory

IN_FLIGHT = 2  # calls that run while the next one is prepared
AXIS = "rows"

Network = TypeVar("Network")

_copies: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()


def host_mesh() -> Mesh:
    """This process' devices as one axis."""
    return Mesh(np.array(jax.local_devices()), (AXIS,))


def on_every_device(network: Network) -> Network:
    """A copy of the network on each device of this process, made once for each network."""
    if network not in _copies:
        _copies[network] = jax.device_put(network, NamedSharding(host_mesh(), PartitionSpec()))
    return _copies[network]


def divide_rows(*arrays: np.ndarray) -> list[jax.Array]:
    """The arrays with their first axis divided among the devices."""
    return jax.device_put(list(arrays), NamedSharding(host_mesh(), PartitionSpec(AXIS)))


def each_on_its_rows(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """`function(network, *arrays)` run by each device on its rows of the arrays."""

    def run(network: Any, *arrays: jax.Array) -> jax.Array:
        rows = PartitionSpec(AXIS)
        specs = (PartitionSpec(), *[rows] * len(arrays))
        # unchecked, since loops begin with zeros, which belong to no device
        divided = jax.shard_map(function, mesh=host_mesh(), in_specs=specs, out_specs=rows, check_vma=False)
        return divided(network, *arrays)

    return run


class Memory:
    """How large a call may be, as far as calls have shown. `what` and `unit` name them in notes."""

    def __init__(self, what: str, unit: str):
        self._what, self._unit = what, unit
        self._cells = sys.maxsize  # rows of a device times their padded length, at most

    def most_rows(self, size: int) -> int:
        """Rows of one device, for a padded length."""
        return self._cells // size

    def lower(self, size: int, rows: int) -> None:
        """`rows` rows of a device were too many. Says so if that is news."""
        if rows // 2 >= self.most_rows(size):
            return
        self._cells = size * (rows // 2)
        print(
            f"note: {self._what}: a device's memory does not hold {rows} rows of {size} {self._unit}; "
            f"going on with {rows // 2} at a time",
            file=sys.stderr,
        )


@dataclasses.dataclass(frozen=True)
class Calls:
    """How calls are run, on `devices` devices."""

    run: Callable[[Bucket], jax.Array]
    memory: Memory
    devices: int = 1

    def results(self, calls: Iterable[Bucket]) -> Iterator[tuple[Bucket, np.ndarray]]:
        """Each call with its result, or the parts of a call that does not fit. Calls run while others are
        prepared.

        Raises what JAX raises for a call of one row for each device that does not fit.
        """
        pending: collections.deque[tuple[Bucket, jax.Array | Exception]] = collections.deque()
        for call in calls:
            pending.append((call, self._begin(call)))
            if len(pending) > IN_FLIGHT:
                yield from self._finish(pending)
        while pending:
            yield from self._finish(pending)

    def _begin(self, call: Bucket) -> jax.Array | Exception:
        try:
            return self.run(call)
        except (jax.errors.JaxRuntimeError, MemoryError) as error:
            return error

    def _finish(self, pending: collections.deque) -> Iterator[tuple[Bucket, np.ndarray]]:
        """The first of the pending calls; if it did not fit, all of them, since they take its memory."""
        call, result = pending.popleft()
        done = [(call, _wait(result))]
        if isinstance(done[0][1], Exception):
            del result
            while pending:
                other, waiting = pending.popleft()
                done.append((other, _wait(waiting)))
        for call, values in done:
            yield from [(call, values)] if isinstance(values, np.ndarray) else self._halve(call, values)

    def _halve(self, call: Bucket, error: Exception) -> Iterator[tuple[Bucket, np.ndarray]]:
        """The call in calls of half as many rows, in halves again where they do not fit."""
        if call.rows == 1:
            raise error
        self.memory.lower(call.size, call.rows)
        rows = call.rows // 2
        for start in range(0, len(call.indices), rows * self.devices):
            half = Bucket(call.size, rows, call.indices[start : start + rows * self.devices])
            values = _wait(self._begin(half))
            yield from [(half, values)] if isinstance(values, np.ndarray) else self._halve(half, values)


def _wait(result: jax.Array | Exception) -> np.ndarray | Exception:
    """The values, or why there are none. Raises what is not for lack of memory."""
    try:
        if isinstance(result, Exception):
            raise result
        return np.asarray(result)
    except (jax.errors.JaxRuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return error.with_traceback(None)
