"""Every mesh gives the loss curve of one device."""

import dataclasses
import itertools
import math

import jax
import numpy as np
import pytest

from spirit_jax.config import Dtype, MeshConfig, ModelConfig, OptimConfig, Remat
from spirit_jax.model.llama import abstract, init_sharded
from spirit_jax.sharding import make_mesh, place_batch, shardings_of
from spirit_jax.training.data.batches import training_batches
from spirit_jax.training.optimizer import make_optimizer
from spirit_jax.training.state import abstract_state, make_state
from spirit_jax.training.step import make_train_step
from tests.training.tiny import VOCABULARY, make_data

STEPS, ROWS, LENGTH = 10, 8, 32
MODEL = ModelConfig(
    rows=128,
    width=16,
    layers=2,
    heads=8,
    kv_heads=8,
    head_width=4,
    mlp_width=32,
    rope_theta=100.0,
    dtype=Dtype.FLOAT32,
    remat=Remat.SAVE_DOTS,
)
OPTIMIZER = make_optimizer(OptimConfig(1e-2, 2), STEPS)
ALL = [MeshConfig(*sizes) for sizes in itertools.product((1, 2, 4, 8), repeat=4) if math.prod(sizes) == 8]
QUICK = [MeshConfig(1, 2, 2, 2)]


def spell(mesh: MeshConfig) -> str:
    return f"data{mesh.data} fsdp{mesh.fsdp} context{mesh.context} tensor{mesh.tensor}"


def curve_on(config: MeshConfig) -> np.ndarray:
    mesh = make_mesh(config, jax.devices()[: config.data * config.fsdp * config.tensor * config.context])
    shapes = abstract_state(abstract(MODEL, mesh), OPTIMIZER, mesh)
    model = init_sharded(MODEL, jax.random.key(0), mesh)
    state = jax.jit(lambda m: make_state(m, OPTIMIZER), out_shardings=shardings_of(shapes))(model)
    losses = []
    with jax.set_mesh(mesh):
        step = make_train_step(OPTIMIZER, VOCABULARY.text_size, 1, shardings_of(shapes))
        for batch in itertools.islice(training_batches(make_data().train, LENGTH, ROWS, 0), STEPS):
            state, metrics = step(state, place_batch(dataclasses.replace(batch, source_ids=None), mesh))
            losses.append(float(metrics.nll_M.sum() / metrics.weight_M.sum()))
    return np.array(losses)


@pytest.fixture(scope="module")
def one_device() -> np.ndarray:
    curve = curve_on(MeshConfig(1, 1))
    assert curve[-1] < curve[0] - 0.3, "nothing was learnt"
    return curve


@pytest.mark.parametrize("mesh", QUICK, ids=spell)
def test_a_mesh_of_three_axes_gives_the_curve_of_one_device(mesh, one_device):
    np.testing.assert_allclose(curve_on(mesh), one_device, atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("mesh", [mesh for mesh in ALL if mesh not in QUICK], ids=spell)
def test_every_mesh_gives_the_curve_of_one_device(mesh, one_device):
    np.testing.assert_allclose(curve_on(mesh), one_device, atol=1e-5, rtol=0)


def test_all_meshes_of_eight_devices_are_there():
    assert len(ALL) == 20
    assert set(map(spell, QUICK)) <= set(map(spell, ALL))
