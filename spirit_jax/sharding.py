"""Where arrays live: the device mesh, the names of array axes, and which mesh axis each one is split over.

Axis names are declared once, on the parameter (`spirit_jax.model.llama.param`); everything that copies a parameter (gradients, optimizer
moments, checkpoints) is split by the same rule. Meshes are (data, fsdp, tensor): rows of the batch are split over data and fsdp, parameters
over fsdp and tensor, heads and the inner width of the MLP over tensor.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from spirit_jax.config import MeshConfig
from spirit_jax.errors import UserError

T = TypeVar("T")
MESH_AXES = ("data", "fsdp", "tensor")
BATCH = ("data", "fsdp")
RULES: dict[str, str | tuple[str, ...] | None] = {
    "batch": BATCH,
    "layers": None,
    "vocab": "tensor",
    "width": "fsdp",
    "norm": None,
    "heads": "tensor",
    "kv_heads": "tensor",
    "head_width": None,
    "mlp": "tensor",
}


def make_mesh(config: MeshConfig, devices: Sequence[Any] | None = None) -> Mesh:
    """A (data, fsdp, tensor) mesh over `devices`, by default all of them. Raises a UserError if the sizes don't multiply to their number."""
    devices = list(jax.devices() if devices is None else devices)
    sizes = dataclasses.astuple(config)
    known = math.prod(size for size in sizes if size != -1)
    sizes = tuple(len(devices) // known if size == -1 else size for size in sizes)
    if math.prod(sizes) != len(devices):
        said = "×".join(f"{name}{size}" for name, size in zip(MESH_AXES, dataclasses.astuple(config)))
        others = known // config.fsdp if config.fsdp != -1 else len(devices) + 1
        fix = f"choose divisors of {len(devices)}" if len(devices) % others else f"set mesh.fsdp={len(devices) // others}"
        raise UserError("mesh", said, f"must multiply to the {len(devices)} devices", fix)
    return jax.make_mesh(sizes, MESH_AXES, axis_types=(AxisType.Auto,) * len(MESH_AXES), devices=devices)


def pspec(axes: Sequence[str | None]) -> PartitionSpec:
    """The partition of an array with these axis names; an unknown name is a KeyError, never silent replication."""
    return PartitionSpec(*(None if axis is None else RULES[axis] for axis in axes))


def place_axes(mesh: Mesh, axes: Sequence[str | None], shape: Sequence[int]) -> NamedSharding:
    """The sharding of an array with these axis names on `mesh`. Raises a UserError where a size isn't divisible by its mesh axes."""
    for axis, size, split in zip(axes, shape, pspec(axes)):
        parts = math.prod(mesh.shape[name] for name in ((split,) if isinstance(split, str) else split or ()))
        if size % parts:
            raise UserError(
                f"axis {axis}", size, f"must be divisible by its {parts} parts (mesh {split})", f"set mesh.{split} to a divisor of {size}"
            )
    return NamedSharding(mesh, pspec(axes))


def constrain(x: jax.Array, *axes: str | None) -> jax.Array:
    """Tells the compiler where `x` lives under `jax.set_mesh`; does nothing without a mesh."""
    if jax.sharding.get_abstract_mesh().empty:
        return x
    return jax.lax.with_sharding_constraint(x, pspec(axes))


def place_batch(batch: T, mesh: Mesh) -> T:
    """Host arrays [rows of this process, ...] -> global arrays split by rows. Raises a UserError if the rows don't divide."""
    parts = mesh.shape["data"] * mesh.shape["fsdp"]

    def place(x) -> jax.Array:
        rows = len(x) * jax.process_count()
        if rows % parts:
            raise UserError("batch rows", rows, f"must be divisible by data × fsdp = {parts}", f"set train.batch_rows to a multiple of {parts}")
        return jax.make_array_from_process_local_data(NamedSharding(mesh, pspec(("batch",))), np.asarray(x))

    return jax.tree.map(place, batch)
