"""One training loop for every part of a codec: batches that depend on the step alone, checkpoints, metrics,
and figures on held-out data.

What is trained is a `TrainState` as the language model's is: `model` any tree of modules and arrays, `opt`
the optimizers' states. Rows of a batch are split over data and fsdp, weights and moments over fsdp by their
last axis where it divides.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

import grain
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from spirit_jax.codec_training.config import StepsConfig
from spirit_jax.config import CheckpointConfig, MeshConfig
from spirit_jax.core.errors import Halted, UserError
from spirit_jax.core.files import require_output_folder, write_json
from spirit_jax.core.progress import Progress
from spirit_jax.core.settings import to_dict
from spirit_jax.runs.checkpoints import Checkpoints
from spirit_jax.runs.metrics import Writer
from spirit_jax.runs.run_folder import (
    CHECKPOINTS,
    CODEC,
    DATA,
    check_data,
    check_places,
    refuse_other,
    write_config,
)
from spirit_jax.runs.state import TrainState
from spirit_jax.runs.stopping import Stop, stop_on_sigterm
from spirit_jax.sharding import make_mesh, place_batch, shardings_of
from spirit_jax.speech.codec import Codec
from spirit_jax.speech.stored_parts import arrays_by_name
from spirit_jax.tokens.streams import Stream

# settings that a resumed run may change
FREE = ("mesh.", "train.steps", "train.log_every", "train.evaluate_every", "checkpoint.")
FEED = "feed"  # the name of the batches' position in a checkpoint
READERS = 2  # threads that read ahead
AHEAD = 8  # batches read ahead

T = TypeVar("T")
Step = Callable[[TrainState, Any], tuple[TrainState, dict[str, jax.Array]]]


class Config(Protocol):
    """The fields of a recipe that the loop uses."""

    @property
    def train(self) -> StepsConfig:
        """Steps and intervals."""
        ...

    @property
    def mesh(self) -> MeshConfig:
        """Sizes of the device mesh."""
        ...

    @property
    def checkpoint(self) -> CheckpointConfig:
        """When checkpoints are saved and kept."""
        ...


class Training(Protocol):
    """The training of one part of a codec: its recipe and the functions that the loop calls."""

    @property
    def config(self) -> Any:
        """Its recipe, a `Config`."""
        ...

    @property
    def learns_from(self) -> dict[str, str]:
        """Fingerprints, by name, of what must be the same when a run is resumed."""
        ...

    def start(self) -> TrainState:
        """The state before the first step."""
        ...

    def batches(self) -> grain.MapDataset:
        """The endless batches of this process, in order, host arrays."""
        ...

    def step(self, number: int) -> Step:
        """The update of step `number`, from 1. Steps that share a compiled program return the same object.
        Figures are scalars.
        """
        ...

    def evaluate(self, model: Any) -> dict[str, float]:
        """Figures on held-out data, of weights on one device."""
        ...

    def describe(self) -> str:
        """The model and the data, in two or three lines."""
        ...

    def finish(self, model: Any, out: Path) -> None:
        """Writes the results into the run folder, from weights on one device."""
        ...


def decoder_note(codec: Codec, stream: Stream) -> str:
    """A line for a `describe`: the codec's decoder is left out if training this stream changes its table."""
    if codec.decoder is None or codec.keeps_decoder(stream):
        return ""
    return (
        f"\ndecoder: left out of the new codec, since {stream.name} changes its streams; train a vocoder last"
    )


def add_shardings(tree: Any, mesh: Mesh) -> Any:
    """The shapes of a tree with shardings: arrays of two axes or more are split over fsdp by the last axis
    where it divides. The others are replicated.
    """

    def shape_of(leaf: Any) -> jax.ShapeDtypeStruct:
        split = leaf.ndim > 1 and leaf.shape[-1] % mesh.shape["fsdp"] == 0
        axes = PartitionSpec(*[None] * (leaf.ndim - 1), "fsdp") if split else PartitionSpec()
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=NamedSharding(mesh, axes))

    return jax.tree.map(shape_of, tree)


def check(config: Config, out: Path) -> Mesh:
    """The mesh. UserErrors for one that does not fit the rows or the devices, and for a folder that holds
    another run or is not writable.
    """
    mesh = make_mesh(config.mesh)
    parts = mesh.shape["data"] * mesh.shape["fsdp"]
    if config.train.batch_rows % parts:
        fix = f"set it to a multiple of {parts}"
        raise UserError(
            "train.batch_rows", config.train.batch_rows, f"must be divisible by data × fsdp = {parts}", fix
        )
    refuse_other(check_places(out), config, FREE)
    require_output_folder(out / CODEC, "codec folder", "codec.json")
    return mesh


def train(training: Training, out: Path) -> int:
    """Trains to `train.steps` from the newest checkpoint in `out`, or from the start, and finishes; returns
    the step reached.

    SIGTERM stops it after the running step, with a checkpoint. UserErrors as of `check` and `check_data`,
    before anything is written. Halted if it diverges.
    """
    config: Config = training.config
    mesh = check(config, out)
    check_data(out, training.learns_from)
    print(training.describe(), flush=True)
    with Checkpoints(out / CHECKPOINTS, config.checkpoint) as checkpoints, stop_on_sigterm() as stop:
        if jax.process_index() == 0:
            if not checkpoints.latest:
                write_json(out / DATA, training.learns_from)
            write_config(out, config)
        reading = grain.ReadOptions(num_threads=READERS, prefetch_buffer_size=AHEAD)
        feed = iter(training.batches().to_iter_dataset(reading))
        state = restore_or_begin(training, out, mesh, checkpoints, feed)
        return _Loop(training, out, mesh, checkpoints, feed, state).run(stop)


def restore_or_begin(
    training: Training, out: Path, mesh: Mesh, checkpoints: Checkpoints, feed: grain.DatasetIterator
) -> TrainState:
    """The newest readable state, with `feed` moved to its position; without checkpoints, the state before the
    first step.
    """
    shapes = add_shardings(jax.eval_shape(training.start), mesh)
    if not checkpoints.latest:
        # op by op: as one program it takes longer to compile than to run
        return jax.device_put(training.start(), shardings_of(shapes))
    restored, values = checkpoints.restore(_flat(shapes), [FEED])
    feed.set_state(values[FEED])
    print(f"resuming {out} at step {int(restored.step):,}", file=sys.stderr)
    return TrainState(
        restored.step,
        _with_arrays(shapes.model, restored.model),
        _with_arrays(shapes.opt, restored.opt),
    )


class _Loop:
    """Steps of `training` from `state` on, with batches from `feed`."""

    def __init__(
        self,
        training: Training,
        out: Path,
        mesh: Mesh,
        checkpoints: Checkpoints,
        feed: grain.DatasetIterator,
        state: TrainState,
    ):
        self.training, self.config, self.out, self.mesh = training, training.config, out, mesh
        self.checkpoints, self.feed, self.state = checkpoints, feed, state
        self.start, self.shardings = int(state.step), shardings_of(state)
        self.programs: dict[Step, Step] = {}

    def run(self, stop: Stop) -> int:
        """Trains until the last step or SIGTERM, and saves a checkpoint in both cases; returns the step
        reached.
        """
        steps, done, saved = self.config.train.steps, self.start, self.start
        with self._writing() as write, Progress("train", steps - done, "step") as progress:
            if not done:
                write({"step": 0, **self._evaluate()})
            sums: list[dict[str, jax.Array]] = []
            while done < steps and not stop.before(done + 1):
                if not self.checkpoints.stay_near(done + 1):
                    saved = self._save(done)
                done += 1
                batch = place_batch(next(self.feed), self.mesh)
                self.state, figures = self._program(done)(self.state, batch)
                sums.append(figures)
                if done % self.config.train.log_every == 0 or done == steps:
                    row = _means(sums)
                    write({"step": done, **row})
                    progress.advance(
                        len(sums), " ".join(f"{name} {value:.3f}" for name, value in row.items())
                    )
                    sums = []
                if (
                    done == steps
                    or self.config.train.evaluate_every
                    and done % self.config.train.evaluate_every == 0
                ):
                    write({"step": done, **self._evaluate()})
                if self.checkpoints.is_due(done):
                    saved = self._save(done)
            if saved != done:
                self._save(done)
        # `done` is larger if a stopped run is resumed with fewer steps
        if done >= steps and jax.process_index() == 0:
            self.training.finish(self._on_one_device(), self.out)
        return done

    def _program(self, number: int) -> Step:
        """The compiled update of a step; the state passed in is donated."""
        step = self.training.step(number)
        if step not in self.programs:
            self.programs[step] = jax.jit(step, donate_argnums=0, out_shardings=(self.shardings, None))
        return self.programs[step]

    def _save(self, step: int) -> int:
        """Returns the step. Halted if weights are not finite; earlier checkpoints are kept."""
        if not _finite(self.state.model):
            raise Halted(
                f"training diverged before step {step:,}: weights are not finite; begin a new "
                "run with a lower optim.rate"
            )
        self.checkpoints.save(step, _flat(self.state), {FEED: self.feed.get_state()}, to_dict(self.config))
        return step

    def _evaluate(self) -> dict[str, float]:
        """Figures on held-out data; also printed."""
        figures = {
            f"held_out_{name}": float(value)
            for name, value in self.training.evaluate(self._on_one_device()).items()
        }
        print(" · ".join(f"{name} {value:.4f}" for name, value in figures.items()), flush=True)
        return figures

    def _on_one_device(self) -> Any:
        """The complete weights on this process' first device."""
        whole = NamedSharding(self.mesh, PartitionSpec())
        return jax.tree.map(
            lambda x: x.addressable_data(0), jax.jit(lambda m: m, out_shardings=whole)(self.state.model)
        )

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Callable[[dict[str, float]], None]]:
        """Writes rows to metrics.jsonl and TensorBoard, on the first process only."""
        if jax.process_index():
            yield lambda row: None
            return
        writer = Writer(self.out, self.start or -1)  # a restarted run writes the row of step 0 again
        try:
            yield writer.write
        finally:
            writer.close()


@jax.jit
def _finite(model: Any) -> jax.Array:
    return jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(model)]))


def _flat(state: TrainState) -> TrainState:
    """The state with its arrays by name, as checkpoints hold them."""
    return TrainState(state.step, arrays_by_name(state.model), arrays_by_name(state.opt))


def _with_arrays(tree: T, arrays: dict[str, Any]) -> T:
    """The tree with the arrays of these names as leaves."""
    return jax.tree.unflatten(jax.tree.structure(tree), [arrays[name] for name in arrays_by_name(tree)])


def _means(figures: list[dict[str, jax.Array]]) -> dict[str, float]:
    """The mean of each figure over the steps that have it; waits for the devices."""
    host = jax.device_get(figures)
    names = dict.fromkeys(name for row in host for name in row)
    return {name: float(np.mean([row[name] for row in host if name in row])) for name in names}
