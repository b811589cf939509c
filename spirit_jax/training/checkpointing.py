"""A run's checkpoints: model, optimizer, position in the data and configuration, saved together and asynchronously by Orbax.

A step's folder is written beside its place and moved there when whole, and an older one is deleted only after that: killing the
run at any moment leaves the last finished checkpoint. Layout: STEP/{model,optimizer,data,config}; `model` is the plain tree of the weights.
"""

import asyncio
import json
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import jax
from flax import nnx
from orbax.checkpoint import v1 as ocp

from spirit_jax.config import CheckpointConfig
from spirit_jax.training.step import TrainState


class Checkpoints:
    """The checkpoints in one folder. Use as a context manager, so that a save under way is finished."""

    def __init__(self, folder: str | Path, config: CheckpointConfig):
        keep = ocp.training.preservation_policies
        policies: list = [keep.LatestN(config.keep_last)]
        if config.keep_every is not None:
            policies.append(keep.EveryNSteps(config.keep_every))
        self._checkpointer = ocp.training.Checkpointer(
            Path(folder).absolute(), preservation_policy=keep.AnyPreservationPolicy(policies), cleanup_tmp_directories=True
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._checkpointer.close()

    @property
    def latest(self) -> int | None:
        """The newest step that was saved, or None."""
        newest = self._checkpointer.latest
        return None if newest is None else newest.step

    @property
    def steps(self) -> list[int]:
        """All steps that are kept, ascending."""
        return [checkpoint.step for checkpoint in self._checkpointer.checkpoints]

    def save(self, step: int, state: TrainState, position: dict, config: dict) -> None:
        """Saves in the background. Returns when the arrays are copied: `state` may then be donated. Waits for a save under way."""
        name = f"process_{jax.process_index()}-of-{jax.process_count()}.json"
        parts = {**_arrays(state), "data": _JsonFile(name, position), "config": _JsonFile("config.json", config, everywhere=False)}
        self._checkpointer.save_checkpointables_async(step, parts, force=True)

    def restore(self, abstract: TrainState) -> tuple[TrainState, dict]:
        """The newest state, placed as `abstract` says, whatever mesh it was saved on, and the position in the data."""
        self._checkpointer.wait()
        position = _JsonFile(f"process_{jax.process_index()}-of-{jax.process_count()}.json", {})
        restored = self._checkpointer.load_checkpointables(None, {**_arrays(abstract), "data": position})
        leaves = jax.tree.leaves((restored["optimizer"]["step"], restored["model"], restored["optimizer"]["opt"]))
        return jax.tree.unflatten(jax.tree.structure(abstract), leaves), position.value


def _arrays(state: TrainState) -> dict[str, Any]:
    """The state as plain trees, with the order of leaves of TrainState within each."""
    return {"model": nnx.as_pure(state.model), "optimizer": {"step": state.step, "opt": nnx.as_pure(state.opt)}}


class _JsonFile:
    """A JSON value as a part of a checkpoint, one file a process or only the first one's."""

    def __init__(self, name: str, value: dict, everywhere: bool = True):
        self.name, self.value, self.everywhere = name, value, everywhere

    async def save(self, directory: Any) -> Awaitable[None]:
        """Orbax's interface; the value is read before this returns."""
        return self._write(directory, json.dumps(self.value, indent=2))

    async def load(self, directory: Any) -> Awaitable[None]:
        """Orbax's interface."""
        return self._read(directory)

    async def _write(self, directory: Any, text: str) -> None:
        folder = await directory.await_creation()
        if self.everywhere or jax.process_index() == 0:
            await asyncio.to_thread((folder / self.name).write_text, text)

    async def _read(self, directory: Any) -> None:
        self.value = json.loads(await asyncio.to_thread((directory / self.name).read_text))
