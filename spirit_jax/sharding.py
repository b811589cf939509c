"""Where arrays live: the device mesh, the names of array axes, and which mesh axis each one is split over.

Axis names are declared once, on the parameter (`spirit_jax.model.llama.param`); everything that copies a
parameter (gradients, optimizer moments, checkpoints) is split by the same rule. Meshes are (data, fsdp,
context, tensor): rows of the batch are split over data and fsdp, parameters over fsdp and tensor, heads and
the inner width of the MLP over tensor, the tokens of a row over context.
"""

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from spirit_jax.config import MeshConfig
from spirit_jax.core.errors import UserError

T = TypeVar("T")
MESH_AXES = ("data", "fsdp", "context", "tensor")
BATCH = ("data", "fsdp")
INFERENCE_AXES = ("data", "fsdp", "tensor")  # a token is generated at a time: rows cannot be split
RULES: dict[str, str | tuple[str, ...] | None] = {
    "batch": BATCH,
    "sequence": "context",
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
    """A (data, fsdp, context, tensor) mesh over `devices`, by default all of them; `data` runs across slices,
    the rest within one.

    Raises a UserError if the sizes don't multiply to the number of devices, or if `data` doesn't cover the
    slices.
    """
    devices = list(jax.devices() if devices is None else devices)
    sizes = fill_sizes(config, len(devices))
    slices = len({getattr(device, "slice_index", None) for device in devices})
    if sizes[0] % slices:
        raise UserError(
            "mesh.data", sizes[0], f"must be a multiple of the {slices} slices", f"set mesh.data={slices}"
        )
    within, across = (sizes[0] // slices, *sizes[1:]), (slices, 1, 1, 1)
    if slices == 1:
        grid = mesh_utils.create_device_mesh(sizes, devices, allow_split_physical_axes=True)
    else:
        grid = mesh_utils.create_hybrid_device_mesh(within, across, devices, allow_split_physical_axes=True)
    return Mesh(grid, MESH_AXES, axis_types=(AxisType.Auto,) * len(MESH_AXES))


def make_inference_mesh(sizes: Mapping[str, int]) -> Mesh:
    """A mesh of the first devices of this process, as many as the sizes multiply to; axes that are not named
    have size 1. No sizes: the first device.

    Raises a UserError for an axis that inference cannot use, and for more devices than there are.
    """
    for axis, size in sizes.items():
        if axis not in INFERENCE_AXES or size < 1:
            rule = f"must be a size of at least 1 of {', '.join(INFERENCE_AXES)}"
            raise UserError("mesh", f"{axis}={size}", rule, "for example tensor=4")
    devices, count = jax.local_devices(), math.prod(sizes.values())
    if count > len(devices):
        said = " ".join(f"{axis}={size}" for axis, size in sizes.items())
        rule = f"needs {count} devices, and this process has {len(devices)}"
        raise UserError("mesh", said, rule, "use smaller sizes")
    ones = dict.fromkeys(MESH_AXES, 1)
    return make_mesh(MeshConfig(**(ones | dict(sizes))), devices[:count])


def use_mesh_of(tree: Any) -> contextlib.AbstractContextManager[Any]:
    """The mesh on which the tree's arrays are, in use; nothing changes for arrays without one."""
    sharding = jax.tree.leaves(tree)[0].sharding
    return jax.set_mesh(sharding.mesh) if isinstance(sharding, NamedSharding) else contextlib.nullcontext()


def fill_sizes(config: MeshConfig, count: int) -> tuple[int, ...]:
    """The sizes in the order of MESH_AXES, with -1 replaced. Raises a UserError if they don't multiply to
    `count`.
    """
    asked = tuple(getattr(config, name) for name in MESH_AXES)
    known = math.prod(size for size in asked if size != -1)
    sizes = tuple(count // known if size == -1 else size for size in asked)
    if math.prod(sizes) != count:
        others = known // config.fsdp if config.fsdp != -1 else count + 1
        fix = f"choose divisors of {count}" if count % others else f"set mesh.fsdp={count // others}"
        raise UserError("mesh", _spell(asked), f"must multiply to the {count} devices", fix)
    return sizes


def _spell(sizes: Sequence[int]) -> str:
    return "×".join(f"{name}{size}" for name, size in zip(MESH_AXES, sizes))


def platform() -> str:
    """What the program being traced will run on: "tpu", "gpu" or "cpu"; that of the mesh in use, which may be
    absent hardware.
    """
    device = jax.sharding.get_abstract_mesh().abstract_device
    name = jax.default_backend() if device is None else device.platform
    return "gpu" if name in ("cuda", "rocm") else name


def mesh_sizes() -> dict[str, int]:
    """Sizes of the mesh in use by axis; all 1 without one."""
    shape = jax.sharding.get_abstract_mesh().shape
    return {name: shape.get(name, 1) for name in MESH_AXES}


def pspec(axes: Sequence[str | None]) -> PartitionSpec:
    """The partition of an array with these axis names; an unknown name is a KeyError, never silent
    replication.
    """
    return PartitionSpec(*(None if axis is None else RULES[axis] for axis in axes))


def place_axes(mesh: Mesh, axes: Sequence[str | None], shape: Sequence[int]) -> NamedSharding:
    """The sharding of an array with these axis names on `mesh`. Raises a UserError where a size isn't
    divisible by its mesh axes.
    """
    for axis, size, split in zip(axes, shape, pspec(axes)):
        parts = math.prod(mesh.shape[name] for name in ((split,) if isinstance(split, str) else split or ()))
        if size % parts:
            raise UserError(
                f"axis {axis}",
                size,
                f"must be divisible by its {parts} parts (mesh {split})",
                f"set mesh.{split} to a divisor of {size}",
            )
    return NamedSharding(mesh, pspec(axes))


def shardings_of(abstract: Any) -> Any:
    """The shardings of an abstract tree, for `out_shardings`."""
    return jax.tree.map(lambda leaf: leaf.sharding, abstract)


def constrain(x: jax.Array, *axes: str | None) -> jax.Array:
    """Tells the compiler where `x` lives under `jax.set_mesh`; does nothing without a mesh."""
    if jax.sharding.get_abstract_mesh().empty:
        return x
    return jax.lax.with_sharding_constraint(x, pspec(axes))


def place_batch(batch: T, mesh: Mesh) -> T:
    """Host arrays [rows of this process, ...] -> global arrays split by rows. Raises a UserError if the rows
    don't divide.
    """
    parts = mesh.shape["data"] * mesh.shape["fsdp"]

    def place(x) -> jax.Array:
        rows = len(x) * jax.process_count()
        if rows % parts:
            raise UserError(
                "batch rows",
                rows,
                f"must be divisible by data × fsdp = {parts}",
                f"set train.batch_rows to a multiple of {parts}",
            )
        return jax.make_array_from_process_local_data(NamedSharding(mesh, pspec(("batch",))), np.asarray(x))

    return jax.tree.map(place, batch)
