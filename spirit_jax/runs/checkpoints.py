"""A run's checkpoints: model, optimizer, position in the data and configuration, saved together and
asynchronously by Orbax.

A checkpoint is complete when its last file is written, commit_success.txt; older ones are deleted only then.
No folder is renamed, so a checkpoint may be in a bucket, mounted or not. Killing the run at any moment leaves
the last complete checkpoint; what is not complete is removed when the run is resumed. At most `every_steps`
steps are lost: a save begins every half of that interval and is written while training continues, and
training waits for it rather than run more than one interval ahead of the last finished one. Layout:
STEP/{model,optimizer,data,config}; `model` is the plain tree of the weights, stored layer by layer, so that
an export reads one at a time.

A save that fails (full disk, unreachable storage) is retried after growing pauses; if all retries fail, the
run ends and the last finished checkpoint stays. A checkpoint that is unreadable, or whose checksums differ,
gets a file broken.txt with the reason, and the one before it is used. It stays until the run saves that step
again.
"""

import asyncio
import json
import sys
import zlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from time import sleep
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec
from orbax.checkpoint import v1 as ocp

from spirit_jax.config import CheckpointConfig
from spirit_jax.core.errors import Halted, UserError
from spirit_jax.core.files import write_text
from spirit_jax.core.paths import AnyPath, resolved, storage_errors
from spirit_jax.core.storage import remove_folder
from spirit_jax.model.array_store import chunk_by_layer
from spirit_jax.model.checkpoint import BROKEN, COMMIT, is_finished
from spirit_jax.runs.state import TrainState

RETRY_AFTER_S = (1.0, 5.0, 25.0, 60.0)  # pauses before a save is retried: our choice
BITS = "bits"  # name of the arrays' checksum among the JSON values


class Checkpoints:
    """The checkpoints in one folder. Use as a context manager, so that a running save is finished."""

    def __init__(self, folder: str | AnyPath, config: CheckpointConfig):
        self._folder, self._config, self._writing, self._failed = resolved(folder), config, None, False
        self._checkpointer, self._spoiled = self._open(), False
        self._begun = self._finished = self.latest or 0

    def _open(self) -> ocp.training.Checkpointer:
        if jax.process_index() == 0:
            self._tidy()
        _agreed(True)  # the others look when it is done
        keep = ocp.training.preservation_policies
        policies: list = [keep.LatestN(self._config.keep_last)]
        if self._config.keep_every is not None:
            policies.append(keep.EveryNSteps(self._config.keep_every))
        policy, context = keep.AnyPreservationPolicy(policies), ocp.Context()
        context.atomicity.mode = ocp.options.AtomicityMode.COMMIT_FILE
        # of the weights; moments are read whole
        context.array.saving.scoped_storage_options_creator = chunk_by_layer
        return ocp.training.Checkpointer(self._folder, preservation_policy=policy, context=context)

    def _tidy(self) -> None:
        """Removes what killed or failed saves left, and marks steps that are complete for Orbax."""
        for path in list(self._folder.iterdir()) if self._folder.is_dir() else []:
            step, _, rest = path.name.partition(".")
            if not (step.isdigit() and path.is_dir()) or (path / BROKEN).is_file():
                continue
            if rest or not is_finished(path):
                remove_folder(path)
            elif not (path / COMMIT).is_file():
                write_text(path / COMMIT, "")

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not self.wait() and kind is None:
            raise self._halted(self._begun)
        if not self._spoiled:
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
        """Whether a save begins after `step`: every half interval, and at each step that is kept forever."""
        kept = self._config.keep_every is not None and step % self._config.keep_every == 0
        return kept or step % -(-self._config.every_steps // 2) == 0

    def stay_near(self, step: int) -> bool:
        """Call before `step`: waits for the running save if the step would be more than an interval ahead of
        the last finished one.

        Returns False if that save failed: the state must then be saved now.
        """
        return step - self._finished <= self._config.every_steps or self.wait()

    def wait(self) -> bool:
        """Waits for the running save; returns False if it failed: the state must then be saved now."""
        writing, self._writing = self._writing, None
        if writing is not None and self._succeeds(writing.result, self._begun):
            self._finished = self._begun
        return not self._failed

    def save(self, step: int, state: TrainState, data: dict[str, Any], config: dict) -> None:
        """Saves in the background, after a running save. Returns once the arrays are copied: `state` may then
        be donated.

        data: this process' JSON values by name. config: the first process' is saved. After a failed save,
        this one is retried until it is finished. Raises Halted if all retries fail.
        """
        bits = _bits(state)  # computed by all processes, written by the first
        identity = {}
        if jax.process_index() == 0:
            data, identity = data | {BITS: bits}, {"config": config}
        sealed = {name: _sealed(value) for name, value in data.items()}
        parts = {**_arrays(state), "data": _JsonFiles(sealed), "config": _JsonFiles(identity)}

        def begin() -> None:
            self._writing = self._checkpointer.save_checkpointables_async(step, parts, force=True)

        def begins() -> bool:
            return all(self._succeeds(act, step) for act in (self._reach, self._renew, begin))

        if self.wait() and begins():
            self._begun = step
            return
        for pause in RETRY_AFTER_S:
            print(f"trying again in {pause:.0f} s", file=sys.stderr, flush=True)
            sleep(pause)
            self._failed, self._begun = False, step
            if begins() and self.wait():
                return
        raise self._halted(step)

    def restore(self, abstract: TrainState, names: Sequence[str]) -> tuple[TrainState, dict[str, Any]]:
        """The newest readable state, sharded like `abstract` whatever mesh it was saved on, and the JSON
        values `names`.

        Newer checkpoints are marked as broken; `latest` is then the step restored.
        Raises a UserError, and changes nothing, if none can be read.
        """
        self.wait()
        reasons = {}
        for step in reversed(self.steps):
            try:
                state, values = self._load(step, abstract, names)
            except _failures() as error:
                reasons[step] = _line(error)
            good = _agreed(step not in reasons)
            if good and _bits(state) != values[BITS]:
                reasons[step] = "its arrays aren't those that were written"
            if not _agreed(step not in reasons):
                reasons.setdefault(step, "another process can't read it")
                print(
                    f"warning: the checkpoint of step {step:,} can't be read: {reasons[step]}",
                    file=sys.stderr,
                    flush=True,
                )
                continue
            if reasons:
                self._set_aside(reasons, step)
            return state, {name: values[name] for name in names}
        causes = "; ".join(f"step {step}: {reason}" for step, reason in reasons.items())
        raise UserError(
            "checkpoints",
            self._folder,
            f"none of {len(reasons)} can be read ({causes})",
            "restore one, or use another --out",
        )

    def _load(
        self, step: int, abstract: TrainState, names: Sequence[str]
    ) -> tuple[TrainState, dict[str, Any]]:
        files = _JsonFiles(dict.fromkeys((*names, BITS)))
        restored = self._checkpointer.load_checkpointables(step, {**_arrays(abstract), "data": files})
        optimizer = restored["optimizer"]
        leaves = jax.tree.leaves(
            (optimizer["step"], restored["model"], optimizer["opt"], optimizer.get("guard"))
        )
        state = jax.tree.unflatten(jax.tree.structure(abstract), leaves)
        return state, {name: _unsealed(name, value) for name, value in files.values.items()}

    def _succeeds(self, act: Callable[[], Any], step: int) -> bool:
        """Does a part of saving `step`; returns False, with a warning, if it fails in any process."""
        reason = None
        try:
            act()
        except _failures() as error:
            reason = _line(error)
        if _agreed(reason is None):
            return True
        print(
            f"warning: the checkpoint of step {step:,} was not saved: {reason or 'another process failed'}",
            file=sys.stderr,
            flush=True,
        )
        self._failed, self._writing, self._spoiled = True, None, True
        return False

    def _reach(self) -> None:
        """Raises an OSError if the folder is not writable, before Orbax tries: its threads would wait ten
        minutes for each other, at exit too.
        """
        if isinstance(self._folder, Path):
            self._folder.mkdir(exist_ok=True)
        probe = self._folder / f".probe_{jax.process_index()}"
        probe.write_bytes(b"x")
        probe.unlink()

    def _renew(self) -> None:
        """After a failure: reopens the folder, without what the failed save left, including what its threads
        wrote since.
        """
        if self._spoiled:
            self._checkpointer, self._spoiled = self._open(), False

    def _set_aside(self, reasons: dict[int, str], used: int) -> None:
        if jax.process_index() == 0:
            for step, reason in reasons.items():
                write_text(self._folder / str(step) / BROKEN, f"{reason}\n")
                (self._folder / str(step) / COMMIT).unlink()
        print(
            f"warning: resuming from step {used:,}; unreadable checkpoints in {self._folder} have a {BROKEN} "
            "with the reason",
            file=sys.stderr,
            flush=True,
        )
        self._checkpointer = self._open()
        self._begun = self._finished = used

    def _halted(self, step: int) -> Halted:
        last = f"step {self._finished:,} is the last one saved" if self._finished else "none was saved"
        return Halted(
            f"the checkpoint of step {step:,} can't be written to {self._folder}; {last}: "
            "the same command resumes from there"
        )


def _failures() -> tuple[type[Exception], ...]:
    """What Orbax, tensorstore and JAX raise for files that are missing, broken or not writable."""
    return (*storage_errors(), ValueError, KeyError, RuntimeError)


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


def _agreed(good: bool) -> bool:
    """Whether it is good in all processes."""
    if jax.process_count() == 1:
        return good
    return bool(np.all(multihost_utils.process_allgather(np.array(good))))


def _arrays(state: TrainState) -> dict[str, Any]:
    """The state as plain trees, each with its leaves in TrainState's order."""
    guard = {} if state.guard is None else {"guard": state.guard}
    return {
        "model": nnx.as_pure(state.model),
        "optimizer": {"step": state.step, "opt": nnx.as_pure(state.opt), **guard},
    }


def _bits(state: TrainState) -> int:
    """A checksum of all arrays, the same on any mesh: of each array, whose elements have 4 bytes, the sum of
    their bits as integers modulo 2^32.
    """
    leaves = jax.tree.leaves(state)
    whole = NamedSharding(leaves[0].sharding.mesh, PartitionSpec())
    return zlib.crc32(np.asarray(jax.jit(_sum_bits, out_shardings=whole)(leaves)).tobytes())


def _sum_bits(leaves: list[jax.Array]) -> jax.Array:
    return jnp.stack(
        [jnp.sum(jax.lax.bitcast_convert_type(leaf, jnp.uint32), dtype=jnp.uint32) for leaf in leaves]
    )


def _sealed(value: Any) -> dict[str, Any]:
    return {"value": value, "crc32": zlib.crc32(json.dumps(value).encode())}


def _unsealed(name: str, value: Any) -> Any:
    """The value that `_sealed` sealed. Raises a ValueError if it was changed since."""
    if not isinstance(value, dict) or value != _sealed(value.get("value")):
        raise ValueError(f"{name}.json isn't what was written")
    return value["value"]


class _JsonFiles:
    """JSON values by name as a part of a checkpoint; each process writes its own files. Loading
    replaces the values.
    """

    def __init__(self, values: dict[str, Any]):
        self.values = values

    async def save(self, directory: Any) -> Awaitable[None]:
        """Orbax's interface; the values are read before this returns."""
        return self._write(
            directory, {name: json.dumps(value, indent=2) for name, value in self.values.items()}
        )

    async def load(self, directory: Any) -> Awaitable[None]:
        """Orbax's interface."""
        return self._read(directory)

    async def _write(self, directory: Any, texts: dict[str, str]) -> None:
        folder = await directory.await_creation()
        for name, text in texts.items():
            await asyncio.to_thread((folder / f"{name}.json").write_text, text)

    async def _read(self, directory: Any) -> None:
        for name in self.values:
            self.values[name] = json.loads(await asyncio.to_thread((directory / f"{name}.json").read_text))
