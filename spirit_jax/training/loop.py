"""The training loop: prepare (checks everything, writes nothing), then train (resumes by itself).

Step N is dispatched while a thread reads the batches to come, then the figures of step N-1 are read: the host
waits for the devices only there, with a step still queued.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from spirit_jax.config import RunConfig
from spirit_jax.core.chips import peak_flops
from spirit_jax.core.errors import UserError
from spirit_jax.core.progress import Progress
from spirit_jax.core.settings import to_dict
from spirit_jax.model.llama import Llama, abstract, flops_per_token
from spirit_jax.runs.checkpoints import Checkpoints
from spirit_jax.runs.metrics import Clock, Meter, Speed, Writer, losses, summarize
from spirit_jax.runs.profiling import Profile
from spirit_jax.runs.run_folder import (
    CHECKPOINTS,
    check_identity,
    check_owner,
    check_places,
    has_steps,
    write_identity,
)
from spirit_jax.runs.stopping import Stop, stop_on_sigterm
from spirit_jax.sharding import make_mesh
from spirit_jax.training.data.batches import validation_batches
from spirit_jax.training.data.placement import Feeder, check_batch, place, streams_here
from spirit_jax.training.data.sources import Sources, open_sources
from spirit_jax.training.optimizer import make_optimizer, make_schedule
from spirit_jax.training.start_weights import check_start, start_model
from spirit_jax.training.step import (
    TrainState,
    abstract_state,
    make_eval_step,
    make_state,
    make_train_step,
    shardings_of,
)


@dataclasses.dataclass(frozen=True)
class Run:
    """A run that has passed all checks; nothing is written yet."""

    config: RunConfig
    out: Path
    mesh: Mesh
    sources: Sources
    model: Llama  # shapes and shardings only


def prepare(config: RunConfig, out: str | Path, sources: Sources | None = None) -> Run:
    """Checks mesh, shards, start weights and the run folder. `sources` replaces those of the configuration
    (for data in memory).
    """
    mesh = make_mesh(config.mesh)
    check_batch(config, mesh)
    streams_here(mesh, config.train.batch_rows, config.data.streams)
    check_owner(check_places(out), config)
    if sources is None:
        sources = open_sources(config.data)
        if has_steps(Path(out)):
            check_identity(Path(out), config, sources)
    if sources.vocabulary.size > config.model.rows:
        fix = f"set model.rows={sources.vocabulary.rows()}"
        raise UserError(
            "model.rows", config.model.rows, f"the vocabulary has {sources.vocabulary.size} ids", fix
        )
    if not has_steps(Path(out)):
        check_start(config, sources.vocabulary, sources.tokenizer.fingerprint)
    return Run(config, Path(out), mesh, sources, abstract(config.model, mesh))


def describe(run: Run) -> str:
    """What training will do, in a few lines."""
    config, total = run.config, sum(feed.weight for feed in run.sources.train)
    parameters = sum(x.size for x in jax.tree.leaves(run.model))
    mixture = ", ".join(
        f"{feed.name} {feed.weight / total:.0%} of tokens ({len(feed.rows):,} records)"
        for feed in run.sources.train
    )
    rows, length = config.train.batch_rows, config.data.sequence_length
    return "\n".join(
        (
            f"model: {parameters:,} parameters, {config.model.dtype.value}, from "
            f"{config.checkpoint.init_from or 'random weights'}",
            f"mesh: {' × '.join(f'{name} {size}' for name, size in run.mesh.shape.items())} on "
            f"{run.mesh.devices.flat[0].platform}",
            f"mixture: {mixture}",
            f"step: {rows} rows × {length} = {rows * length:,} tokens, "
            f"{config.train.steps:,} steps, to {run.out}",
        )
    )


def train(run: Run, profile: tuple[int, int] | None = None) -> int:
    """Trains from the newest checkpoint in the run folder, or from the start, to `train.steps`; returns the
    step reached.

    SIGTERM, or a notice of preemption, stops it after the step under way, with a checkpoint. `profile`: first
    and last step to trace. Raises a UserError if the data changed since the checkpoint, Halted if it diverges
    or checkpoints can't be written.
    """
    config, steps = run.config, run.config.train.steps
    with Checkpoints(run.out / CHECKPOINTS, config.checkpoint) as checkpoints, stop_on_sigterm() as stop:
        start = checkpoints.latest or 0
        if jax.process_index() == 0 and start < steps:
            write_identity(run.out, config, None if start else run.sources)
        loop = _Loop(run, checkpoints, stop, Profile(run.out, profile))
        try:
            # known only now: a last checkpoint that can't be read is set aside, and training goes on from the
            # one before
            if loop.start >= steps:
                print(f"{run.out} is finished: step {loop.start:,} of {steps:,}", file=sys.stderr)
                return loop.start
            with jax.set_mesh(run.mesh):
                return loop.run()
        finally:
            loop.close()


class _Loop:
    def __init__(self, run: Run, checkpoints: Checkpoints, stop: Stop, profile: Profile):
        config, sources = run.config, run.sources
        optimizer = make_optimizer(config.optim, config.train.steps)
        shapes = abstract_state(run.model, optimizer, run.mesh)
        self.config, self.checkpoints, self.stop, self.profile, self.run_ = (
            config,
            checkpoints,
            stop,
            profile,
            run,
        )
        self.feeder, self.clock = Feeder(sources.train, sources.arranger, config, run.mesh), Clock()
        self.start = 0
        if checkpoints.latest is None:
            self.state = self._begin(optimizer, shapes)
        else:
            self.state = self._restore(shapes)
        self.saved, self.position = self.start, self.feeder.position
        text_size, names = sources.vocabulary.text_size, [feed.name for feed in sources.train]
        self.step = make_train_step(
            optimizer, text_size, config.train.accumulate, shardings_of(shapes), len(names)
        )
        self.eval_step = make_eval_step(text_size)
        devices, schedule = run.mesh.devices.flat, make_schedule(config.optim, config.train.steps)
        speed = Speed(
            len(devices), flops_per_token(config.model, config.data.sequence_length), peak_flops(devices[0])
        )
        self.meter = Meter(
            self.clock, config.train.log_every, config.train.steps, schedule, names, self.feeder.epochs, speed
        )
        self.writer = (
            Writer(run.out, self.start)
            if jax.process_index() == 0 and self.start < config.train.steps
            else None
        )
        self.note, self.progress = "", Progress("train", max(config.train.steps - self.start, 0), "step")

    def _begin(self, optimizer: Any, shapes: TrainState) -> TrainState:
        model = start_model(self.config, self.run_.mesh)
        return jax.jit(
            lambda m: make_state(m, optimizer), out_shardings=shardings_of(shapes), donate_argnums=0
        )(model)

    def _restore(self, shapes: TrainState) -> TrainState:
        state, files = self.checkpoints.restore(shapes, self.feeder.names)
        self.feeder.go_to(files)
        self.start = int(state.step)
        print(f"resuming {self.run_.out} at step {self.start:,}", file=sys.stderr)
        return state

    def run(self) -> int:
        """Steps until the last one or until asked to stop; both ways out have saved the state. Returns the
        step reached.
        """
        steps, done = self.config.train.steps, self.start
        while done < steps and not self.stop.before(done + 1):
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
            batch = self.feeder.take()
        self.position = self.feeder.position
        self.profile.begin(step)
        with self.clock.section("step" if step > self.start + 1 else "compile"):
            self.state, metrics = self.step(self.state, batch)
        with self.clock.section("step"):
            self._write(self.meter.add(step, metrics, self.position))
        self.profile.end(step, metrics)

    def _pause(self, step: int) -> None:
        """Evaluates and saves where it is time to; the clock's other sections stand still."""
        train = self.config.train
        last = step == train.steps
        evaluate = self.run_.sources.validation and (
            last or train.evaluate_every and step % train.evaluate_every == 0
        )
        save = last or self.checkpoints.is_due(step)
        if evaluate or save:
            with self.clock.section("step"):
                self._write(self.meter.flush())
        if evaluate:
            with self.clock.section("evaluate"):
                self._write({"step": step, **self._evaluate()})
        if save:
            self._save(step)

    def _save(self, step: int) -> None:
        self._write(self.meter.flush())
        with self.clock.section("checkpoint"):
            self.checkpoints.save(step, self.state, self.feeder.files(self.position), to_dict(self.config))
        self.saved = step

    def _evaluate(self) -> dict[str, float]:
        """Mean losses over the validation sources, all and each."""
        row, sums = {}, []
        rows = self.config.train.batch_rows // self.config.train.accumulate
        length, seed = self.config.data.sequence_length, self.config.train.seed
        for feed in self.run_.sources.validation:
            batches = validation_batches(feed, self.run_.sources.arranger, length, rows, seed)
            placed = (place(batch, self.run_.mesh, rows, np.arange(rows)) for batch in batches)
            terms = [jax.device_get(self.eval_step(self.state.model, batch)) for batch in placed]
            sums.append(jax.tree.map(lambda *xs: np.sum(xs, axis=0), *terms))
            row[f"validation_loss/{feed.name}"] = losses(sums[-1]["nll"], sums[-1]["weight"], "loss")["loss"]
        whole = jax.tree.map(lambda *xs: np.sum(xs, axis=0), *sums)
        return losses(whole["nll"], whole["weight"], "validation_loss") | row

    def _write(self, row: dict[str, float] | None) -> None:
        if row is None:
            return
        if "loss" in row:
            self.note = summarize(row)
        if self.writer is not None:
            self.writer.write(row)

    def close(self) -> None:
        """Ends the live line, the trace, the readers and the metrics files."""
        self.profile.close()
        self.feeder.close()
        self.progress.__exit__()
        if self.writer is not None:
            self.writer.close()
