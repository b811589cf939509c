"""One recipe, checked for its pod: the trainer's own step, compiled ahead of time for absent hardware."""

import dataclasses
import datetime
import re
import time
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import AbstractMesh, Mesh, NamedSharding

from spirit_jax.config import MeshConfig, RunConfig
from spirit_jax.core.chips import GIB
from spirit_jax.core.errors import UserError
from spirit_jax.model.batch import Batch
from spirit_jax.model.llama import abstract
from spirit_jax.pod_check.estimate import AnyMesh, memory_of, seconds_of, work_of
from spirit_jax.pod_check.generation import generation_of
from spirit_jax.pod_check.hlo import collectives
from spirit_jax.pod_check.pod import HBM_SHARE, Pod, pod_of
from spirit_jax.sharding import MESH_AXES, fill_sizes, make_mesh, pspec, shardings_of
from spirit_jax.training.data.placement import check_batch
from spirit_jax.training.optimizer import make_optimizer
from spirit_jax.training.state import abstract_state
from spirit_jax.training.step import make_train_step

# the compiler's error for a program that doesn't fit
TOO_LARGE = re.compile(r"(?:Used |temporaries \()([\d.]+)([MG])")
OF_PROGRAM = (
    "date",
    "memory_by",
    "peak_bytes",
    "argument_bytes",
    "temporary_bytes",
    "compile_seconds",
    "collectives",
)  # figures of a compiled program


def check(
    config: RunConfig, name: str, by_analysis: bool = False, given: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A row of figures, JSON-able.

    by_analysis: estimate the memory instead of compiling. GPU programs can't be compiled without a GPU and
    are always estimated; the row says so. given: an earlier row of the same recipe, whose compiled figures
    are kept: only what follows from them is computed again.

    Raises a UserError if mesh, batch and topology don't fit together, or `given` is of another mesh, batch or
    policy.
    """
    pod = pod_of(config.mesh)
    analysis = pod.chip.platform != "tpu" or by_analysis or given is not None
    mesh = (
        AbstractMesh(fill_sizes(config.mesh, pod.devices), MESH_AXES)
        if analysis
        else make_mesh(config.mesh, _devices(config.mesh))
    )
    check_batch(config, mesh)
    described, today = _describe(config, mesh, pod), datetime.date.today().isoformat()
    if given is not None and given["memory_by"] != "analysis":
        differing = [key for key in described if described[key] != given[key]]
        if differing:
            raise UserError("given", name, f"its row differs in {', '.join(differing)}", "compile it again")
        found = {key: given[key] for key in OF_PROGRAM if key in given}
    elif isinstance(mesh, AbstractMesh):
        found = {"date": today, "memory_by": "analysis", "peak_bytes": memory_of(config, mesh)}
    else:
        found = {"date": today, **compile_step(config, mesh)}
    return {"recipe": name, **described, **found, **_bounds(config, mesh, pod, found)}


def compile_step(config: RunConfig, mesh: Mesh) -> dict[str, Any]:
    """Compiles the training step for `mesh`; returns its memory, its collectives and the time it took, in
    seconds.
    """
    optimizer = make_optimizer(config.optim, config.train.steps)
    shapes = abstract_state(abstract(config.model, mesh), optimizer, mesh)
    start = time.monotonic()
    with jax.set_mesh(mesh):
        step = make_train_step(
            optimizer,
            config.model.rows,
            config.train.accumulate,
            shardings_of(shapes),
            reduce_dtype=config.optim.reduce_dtype,
        )
        try:
            compiled = step.lower(shapes, _abstract_batch(config, mesh)).compile()
        except jax.errors.JaxRuntimeError as error:
            needed = TOO_LARGE.search(str(error))
            if needed is None:
                raise
            size = float(needed.group(1)) * (GIB if needed.group(2) == "G" else 2**20)
            return {
                "memory_by": "compiler's refusal",
                "peak_bytes": size,
                "compile_seconds": round(time.monotonic() - start, 1),
            }
    memory = compiled.memory_analysis()
    peak = (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
    )
    return {
        "memory_by": "compiler",
        "peak_bytes": peak + memory.generated_code_size_in_bytes,
        "argument_bytes": memory.argument_size_in_bytes,
        "temporary_bytes": memory.temp_size_in_bytes,
        "compile_seconds": round(time.monotonic() - start, 1),
        "collectives": collectives(_text(compiled)),
    }


def _text(compiled: jax.stages.Compiled) -> str:
    """The optimised program; empty if the compiler can't print it, as with some large ones."""
    try:
        return compiled.as_text() or ""
    except jax.errors.JaxRuntimeError:
        return ""


def _devices(mesh: MeshConfig) -> list[Any]:
    """Devices of an absent pod, from libtpu."""
    more: dict[str, Any] = {"num_slices": mesh.slices} if mesh.slices > 1 else {}
    if str(mesh.topology).startswith("v4:"):
        # one device per chip, as on Cloud TPU; the compiler's default for v4 is two
        more["chip_config_name"] = "megacore"
    try:
        return list(topologies.get_topology_desc(mesh.topology, "tpu", **more).devices)
    except (ImportError, RuntimeError) as error:
        raise UserError(
            "mesh.topology",
            mesh.topology,
            str(error).splitlines()[0],
            "pip install -r requirements-pod.txt, and name a real one",
        ) from error


def _abstract_batch(config: RunConfig, mesh: Mesh) -> Batch:
    shape = (config.train.batch_rows, config.data.sequence_length)
    whole, weights = (
        jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(mesh, pspec(("batch",))))
        for dtype in (jnp.int32, jnp.float32)
    )
    return Batch(whole, whole, weights, whole, whole)


def _describe(config: RunConfig, mesh: AnyMesh, pod: Pod) -> dict[str, Any]:
    return {
        "topology": pod.topology,
        "slices": pod.slices,
        "devices": pod.devices,
        "mesh": dict(mesh.shape),
        "remat": config.model.remat.value,
        "reduce_dtype": config.optim.reduce_dtype.value,
        "rows": config.train.batch_rows,
        "accumulate": config.train.accumulate,
        "length": config.data.sequence_length,
    }


def _bounds(config: RunConfig, mesh: AnyMesh, pod: Pod, found: dict[str, Any]) -> dict[str, Any]:
    """What follows from arithmetic and from the compiled collectives."""
    work, kinds = work_of(config, mesh, pod.slices), found.get("collectives")
    if kinds:
        work = dataclasses.replace(work, crossed=kinds.get("send", {}).get("bytes", 0))
    # every TPU program that could be read waits for its gradient sums
    sums = 2 * work.reduced if pod.chip.platform == "tpu" else 0.0
    sent, waited = (_sent(kinds, "bytes"), _sent(kinds, "waited")) if kinds else (None, sums)
    seconds = seconds_of(work, pod, sent, waited)
    bound = max(seconds.values())
    return {
        "hbm_bytes": pod.chip.hbm,
        "fits": found["peak_bytes"] <= HBM_SHARE * pod.chip.hbm,
        **dataclasses.asdict(work),
        "network_by": "compiled program" if kinds else "analysis",
        "roofline_seconds": {name: round(value, 4) for name, value in seconds.items()},
        "generation": generation_of(config.model),
        "mfu_ceiling": round(work.model_flops / pod.devices / pod.chip.flops / bound, 3),
    }


def _sent(kinds: dict[str, dict[str, int]], what: str) -> float:
    """Bytes that a device sends within its slice; an all-reduce sends its array twice, to sum the parts and
    to distribute the sums.
    """
    return sum(
        row[what] * (2 if kind == "all-reduce" else 1) for kind, row in kinds.items() if kind != "send"
    )
