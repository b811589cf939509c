"""A run's checkpoints: model, optimizer, position in the data and configuration, saved together and asynchronously by Orbax.

A step's folder is written beside its place and moved there when whole, and an older one is deleted only after that: killing the
run at any moment leaves the last finished checkpoint. At most `every_steps` steps are lost then: a save begins at every half of that
interval and is written while training goes on, and training waits for it rather than run more than an interval ahead of a finished one.
Layout: STEP/{model,optimizer,data,config}; `model` is the plain tree of the weights.
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
        self._config, self._writing = config, None
        self._checkpointer = ocp.training.Checkpointer(
            Path(folder).absolute(), preservation_policy=keep.AnyPreservationPolicy(policies), cleanup_tmp_directories=True
        )
        self._begun = self._finished = self.latest or 0

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

    def is_due(self, step: int) -> bool:
        """Whether a save begins after `step`: at every half interval, and at each step that is kept for good."""
        kept = self._config.keep_every is not None and step % self._config.keep_every == 0
        return kept or step % -(-self._config.every_steps // 2) == 0

    def stay_near(self, step: int) -> None:
        """To be called before `step`: waits for the save under way if the step would be more than an interval ahead of a finished one."""
        if step - self._finished > self._config.every_steps:
            self._finish()

    def save(self, step: int, state: TrainState, position: dict, config: dict) -> None:
        """Saves in the background. Returns when the arrays are copied: `state` may then be donated. Waits for a save under way."""
        self._finish()
        name = f"process_{jax.process_index()}-of-{jax.process_count()}.json"
        parts = {**_arrays(state), "data": _JsonFile(name, position), "config": _JsonFile("config.json", config, everywhere=False)}
        self._writing = self._checkpointer.save_checkpointables_async(step, parts, force=True)
        self._begun = step

    def _finish(self) -> None:
        if self._writing is not None:
            self._writing.result()
        self._writing, self._finished = None, self._begun

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
