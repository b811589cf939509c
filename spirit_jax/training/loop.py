"""The training loop: from the newest checkpoint, or from the start, to the last step.

Step N is dispatched while a thread reads the batches to come; then the figures of step N-1 are read. The host
waits for the devices only there, with a step still queued.
"""

import contextlib
import sys

import jax
import optax

from spirit_jax.core.chips import peak_flops
from spirit_jax.core.progress import Progress
from spirit_jax.core.settings import to_dict
from spirit_jax.model.llama import flops_per_token
from spirit_jax.runs.checkpoints import Checkpoints
from spirit_jax.runs.metrics import Writer
from spirit_jax.runs.profiling import Profile
from spirit_jax.runs.run_folder import CHECKPOINTS, write_config, write_identity
from spirit_jax.runs.state import TrainState
from spirit_jax.runs.stopping import Stop, stop_on_sigterm
from spirit_jax.sharding import shardings_of
from spirit_jax.training.data.placement import DeviceBatches
from spirit_jax.training.metrics import Clock, Meter, Speed, summarize
from spirit_jax.training.optimizer import make_optimizer, make_schedule
from spirit_jax.training.preparation import Run
from spirit_jax.training.start_weights import start_model
from spirit_jax.training.state import abstract_state, make_state
from spirit_jax.training.step import TrainStep, make_eval_step, make_train_step
from spirit_jax.training.validation import validate


def train(run: Run, profile: tuple[int, int] | None = None) -> int:
    """Trains from the newest checkpoint in the run folder, or from the start, to `train.steps`; returns the
    step reached.

    SIGTERM, or a notice of preemption, stops it after the running step, with a checkpoint. profile: first and
    last step to trace. Raises a UserError if the data changed since the checkpoint, Halted if training
    diverges or checkpoints can't be written.
    """
    config, steps = run.config, run.config.train.steps
    optimizer = make_optimizer(config.optim, steps)
    shapes = abstract_state(run.model, optimizer, run.mesh)
    with (
        Checkpoints(run.out / CHECKPOINTS, config.checkpoint) as checkpoints,
        stop_on_sigterm() as stop,
        contextlib.closing(DeviceBatches(run.data.train, config, run.mesh)) as batches,
    ):
        if jax.process_index() == 0:
            _write_identity(run, checkpoints.latest or 0)
        state = restore_or_begin(run, optimizer, shapes, checkpoints, batches)
        start = int(state.step)
        if start >= steps:  # known only now: the last checkpoint may be unreadable
            print(f"{run.out} is finished: step {start:,} of {steps:,}", file=sys.stderr)
            return start
        sources, text_size = len(run.data.train), run.data.vocabulary.text_size
        step = make_train_step(
            optimizer,
            text_size,
            config.train.accumulate,
            shardings_of(shapes),
            sources,
            config.optim.reduce_dtype,
            config.train.text_weight,
        )
        loop = _Loop(run, state, step, checkpoints, batches, Profile(run.out, profile))
        with contextlib.closing(loop), jax.set_mesh(run.mesh):
            return loop.run(stop)


def restore_or_begin(
    run: Run,
    optimizer: optax.GradientTransformation,
    shapes: TrainState,
    checkpoints: Checkpoints,
    batches: DeviceBatches,
) -> TrainState:
    """The newest readable state, with `batches` moved to its position; without checkpoints, the state before
    the first step. `shapes` has its shardings.
    """
    if checkpoints.latest is None:
        begin = jax.jit(
            lambda model: make_state(model, optimizer), out_shardings=shardings_of(shapes), donate_argnums=0
        )
        return begin(start_model(run.config, run.mesh))
    state, files = checkpoints.restore(shapes, batches.names)
    batches.go_to(files)
    print(f"resuming {run.out} at step {int(state.step):,}", file=sys.stderr)
    return state


def _write_identity(run: Run, saved: int) -> None:
    """Writes what the folder needs, for a run whose newest checkpoint is of step `saved`; 0: none."""
    if not saved:
        data = run.data
        write_identity(run.out, run.config, data.vocabulary, data.tokenizer, data.fingerprints, data.shares)
    elif saved < run.config.train.steps:
        write_config(run.out, run.config)


class _Loop:
    """Steps of `run` from `state` on; `step` compiled for it."""

    def __init__(
        self,
        run: Run,
        state: TrainState,
        step: TrainStep,
        checkpoints: Checkpoints,
        batches: DeviceBatches,
        profile: Profile,
    ):
        config, self.clock = run.config, Clock()
        self.run_, self.state, self.step = run, state, step
        self.checkpoints, self.batches, self.profile = checkpoints, batches, profile
        self.start = self.saved = int(state.step)
        self.position = batches.position
        self.eval_step = make_eval_step(run.data.vocabulary.text_size)
        devices, length, steps = run.mesh.devices.flat, config.data.sequence_length, config.train.steps
        self.meter = Meter(
            self.clock,
            config.train.log_every,
            steps,
            make_schedule(config.optim, steps),
            [source.name for source in run.data.train],
            batches.epochs,
            Speed(len(devices), flops_per_token(config.model, length), peak_flops(devices[0])),
        )
        self.writer = Writer(run.out, self.start) if jax.process_index() == 0 else None
        self.note, self.progress = "", Progress("train", steps - self.start, "step")

    def run(self, stop: Stop) -> int:
        """Steps until the last one or until asked to stop; both ways the state is saved. Returns the step
        reached.
        """
        steps, done = self.run_.config.train.steps, self.start
        while done < steps and not stop.before(done + 1):
            with self.clock.section("checkpoint"):
                near = self.checkpoints.stay_near(done + 1)
            if not near:
                self._save(done)
            done += 1
            self._advance(done)
            self._pause(done)
            self.progress.advance(1, self.note)
        if self.saved != done or not self.checkpoints.wait():
            self._save(done)
        return done

    def _advance(self, step: int) -> None:
        """Dispatches a step and reads the figures of the step before."""
        with self.clock.section("data"):
            batch = self.batches.take()
        self.position = self.batches.position
        self.profile.begin(step)
        with self.clock.section("step" if step > self.start + 1 else "compile"):
            self.state, metrics = self.step(self.state, batch)
        with self.clock.section("step"):
            self._write(self.meter.add(step, metrics, self.position))
        self.profile.end(step, metrics)

    def _pause(self, step: int) -> None:
        """Evaluates and saves if it is time to; that counts in the clock's sections of their own names."""
        train = self.run_.config.train
        last = step == train.steps
        evaluate = self.run_.data.validation and (
            last or train.evaluate_every and step % train.evaluate_every == 0
        )
        save = last or self.checkpoints.is_due(step)
        if evaluate or save:
            with self.clock.section("step"):
                self._write(self.meter.flush())
        if evaluate:
            with self.clock.section("evaluate"):
                self._write({"step": step, **validate(self.run_, self.state.model, self.eval_step)})
        if save:
            self._save(step)

    def _save(self, step: int) -> None:
        self._write(self.meter.flush())
        if self.writer is not None:
            self.writer.flush()
        files, config = self.batches.files(self.position), to_dict(self.run_.config)
        with self.clock.section("checkpoint"):
            self.checkpoints.save(step, self.state, files, config)
        self.saved = step

    def _write(self, row: dict[str, float] | None) -> None:
        if row is None:
            return
        if "loss" in row:
            self.note = summarize(row)
        if self.writer is not None:
            self.writer.write(row)

    def close(self) -> None:
        """Ends the trace, the live line and the metrics files."""
        self.profile.close()
        self.progress.__exit__()
        if self.writer is not None:
            self.writer.close()
