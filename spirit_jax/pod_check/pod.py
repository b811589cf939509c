"""The hardware that a recipe names."""

import dataclasses
import math

from spirit_jax.config import MeshConfig
from spirit_jax.core.chips import CHIPS, Chip
from spirit_jax.core.errors import UserError

# share of a chip's memory that a recipe may fill: the rest is for fragmentation and the runtime's own buffers
HBM_SHARE = 0.85


@dataclasses.dataclass(frozen=True)
class Pod:
    """Slices of one topology."""

    topology: str
    slices: int
    chip: Chip
    devices: int


def pod_of(mesh: MeshConfig) -> Pod:
    """The pod of `mesh.topology`, such as "v5e:16x16" or "h100:8". Raises a UserError for an unknown one."""
    if mesh.topology is None:
        raise UserError(
            "mesh.topology",
            None,
            "names the hardware to check for",
            "set mesh.topology=v5e:16x16, for example",
        )
    name, _, shape = mesh.topology.partition(":")
    sizes = shape.split("x")
    if name not in CHIPS or not all(size.isdigit() for size in sizes):
        known = ", ".join(CHIPS)
        raise UserError(
            "mesh.topology",
            mesh.topology,
            f"must be CHIP:SHAPE with a chip of {known}",
            "set mesh.topology=v5e:16x16, for example",
        )
    return Pod(mesh.topology, mesh.slices, CHIPS[name], math.prod(map(int, sizes)) * mesh.slices)
