import dataclasses

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from spirit_jax.config import MeshConfig
from spirit_jax.core.errors import UserError
from spirit_jax.sharding import constrain, make_mesh, place_axes, place_batch, pspec


def test_the_open_size_takes_the_rest_of_the_devices():
    assert dict(make_mesh(MeshConfig(2, -1, 2)).shape) == {"data": 2, "fsdp": 2, "context": 1, "tensor": 2}
    assert dict(make_mesh(MeshConfig(1, 1, context=-1)).shape) == {
        "data": 1,
        "fsdp": 1,
        "context": 8,
        "tensor": 1,
    }
    assert dict(make_mesh(MeshConfig(), jax.devices()[:3]).shape) == {
        "data": 1,
        "fsdp": 3,
        "context": 1,
        "tensor": 1,
    }


@pytest.mark.parametrize(
    ("sizes", "fix"), [((1, 64, 4), "set mesh.fsdp=2"), ((3, -1, 1), "choose divisors of 8")]
)
def test_a_mesh_of_another_size_is_refused_with_a_fix(sizes, fix):
    with pytest.raises(UserError, match=f"must multiply to the 8 devices; {fix}"):
        make_mesh(MeshConfig(*sizes))


@dataclasses.dataclass(frozen=True)
class FakeDevice:
    """What the mesh asks of a device."""

    id: int
    process_index: int
    slice_index: int
    platform: str = "tpu"
    device_kind: str = "TPU v5 lite"
    coords: tuple[int, int, int] = (0, 0, 0)
    core_on_chip: int = 0
    client: None = None


DEVICES = [FakeDevice(n, n // 4, n // 4, coords=(n % 4, 0, 0)) for n in range(8)]  # two slices, each a host


def test_data_runs_across_slices():
    grid = make_mesh(MeshConfig(4, -1), DEVICES).devices
    slices = np.vectorize(lambda device: device.slice_index, otypes=[int])(grid)[:, :, 0, 0]
    np.testing.assert_array_equal(slices, [[0, 0], [0, 0], [1, 1], [1, 1]])
    with pytest.raises(UserError, match="mesh.data = 1: must be a multiple of the 2 slices; set mesh.data=2"):
        make_mesh(MeshConfig(), DEVICES)


def test_a_misspelt_axis_is_an_error_not_replication():
    with pytest.raises(KeyError):
        pspec(("widht",))


def test_a_size_that_does_not_divide_is_refused():
    mesh = make_mesh(MeshConfig(2, 2, 2))
    assert place_axes(mesh, ("vocab", "width"), (4, 4)).spec == PartitionSpec("tensor", "fsdp")
    with pytest.raises(UserError, match="axis vocab = 5: must be divisible by its 2 parts"):
        place_axes(mesh, ("vocab", "width"), (5, 4))


def test_a_batch_is_split_by_rows_and_keeps_its_values():
    mesh, rows = make_mesh(MeshConfig(2, 2, 2)), np.arange(24, dtype=np.int32).reshape(8, 3)
    placed = place_batch({"tokens": rows}, mesh)["tokens"]
    np.testing.assert_array_equal(np.asarray(placed), rows)
    assert {shard.data.shape for shard in placed.addressable_shards} == {(2, 3)}
    with pytest.raises(UserError, match="batch rows = 6"):
        place_batch({"tokens": rows[:6]}, mesh)


def test_constraints_without_a_mesh_change_nothing():
    x = jax.numpy.ones((2, 2))
    assert constrain(x, "batch", None) is x
    mesh = make_mesh(MeshConfig(2, 2, 2))
    with jax.set_mesh(mesh):
        split = jax.jit(lambda x: constrain(x, "vocab", None))(x)
    assert split.sharding.spec[0] == "tensor"
