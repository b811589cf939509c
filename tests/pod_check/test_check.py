import dataclasses
import json

import jax
import pytest
from jax.sharding import AbstractMesh

from spirit_jax.config import MeshConfig, Remat, RunConfig
from spirit_jax.core.chips import GIB
from spirit_jax.core.errors import UserError
from spirit_jax.core.settings import load, override
from spirit_jax.pod_check import check
from spirit_jax.pod_check.command import describe, tabulate
from spirit_jax.pod_check.estimate import memory_of, state_bytes, work_of
from spirit_jax.pod_check.pod import pod_of
from spirit_jax.sharding import MESH_AXES, make_mesh
from tests.training.tiny import make_config

RECIPES = ["tpu_configs/pods/spirit_base_7b_v5e_256.py", "tpu_configs/gpus/spirit_base_7b_h100_8.py"]


def mesh_of(**sizes: int) -> AbstractMesh:
    return AbstractMesh(tuple(sizes.get(name, 1) for name in MESH_AXES), MESH_AXES)


def test_a_tpu_recipe_can_be_reckoned_without_its_compiler():
    row = check.check(load(RECIPES[0], RunConfig), "estimate", by_analysis=True)
    assert (row["memory_by"], row["network_by"]) == ("analysis", "analysis")
    assert "compile_seconds" not in row


@pytest.mark.parametrize(("topology", "devices"), [("v5e:16x16", 256), ("v5p:2x4x4", 32), ("h100:8", 8)])
def test_a_topology_tells_the_devices(topology, devices):
    assert pod_of(MeshConfig(topology=topology)).devices == devices
    assert pod_of(MeshConfig(topology=topology, slices=2)).devices == 2 * devices


@pytest.mark.parametrize("topology", [None, "v5litepod:16x16", "v5e", "v5e:16y16"])
def test_what_names_no_hardware_is_refused(topology):
    with pytest.raises(UserError, match="set mesh.topology=v5e:16x16"):
        pod_of(MeshConfig(topology=topology))


def test_7b_needs_12_bytes_and_6_operations_a_parameter():
    recipe = load(RECIPES[0], RunConfig)
    # norms are on every device
    assert state_bytes(recipe, mesh_of(fsdp=256)) / 256 == pytest.approx(12 * 6.74e9 / 256**2, rel=0.02)
    work = work_of(recipe, mesh_of(fsdp=256), 1)
    row = 6 * 6.61e9 * 4096 + 6 * 32 * 4096 * 4096**2  # its matrices and head, and causal attention
    assert work.model_flops / recipe.train.batch_rows == pytest.approx(row, rel=0.01)
    assert work.hardware_flops > work.model_flops


def test_gradients_that_are_summed_in_float32_send_twice_the_bytes_of_the_layers():
    recipe = load(RECIPES[0], RunConfig)
    narrow, wide = (
        work_of(override(recipe, [f"optim.reduce_dtype={name}"]), mesh_of(fsdp=256), 1).reduced
        for name in ("bfloat16", "float32")
    )
    assert wide - narrow == pytest.approx(2 * 6.48e9, rel=0.01)  # its layers' matrices


def test_policies_trade_memory_for_work():
    recipe = load(RECIPES[0], RunConfig)
    order = [Remat.NONE, Remat.SAVE_DOTS, Remat.SAVE_NARROW, Remat.FULL]
    tries = [
        dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, remat=remat)) for remat in order
    ]
    memory = [memory_of(one, mesh_of(fsdp=256)) for one in tries]
    work = [work_of(one, mesh_of(fsdp=256), 1).hardware_flops for one in tries]
    assert memory == sorted(memory, reverse=True)
    assert work == sorted(work)


def test_a_gpu_recipe_is_reckoned_and_says_so():
    row = check.check(load(RECIPES[1], RunConfig), "gpus")
    assert row["memory_by"] == "analysis"
    assert row["fits"]
    assert row["mesh"] == {"data": 1, "fsdp": 8, "context": 1, "tensor": 1}
    assert 0.3 < row["mfu_ceiling"] <= 1
    assert json.loads(json.dumps(row)) == row
    assert "by analysis" in dict(describe(row))["peak memory"]
    assert tabulate([row, row]).count("\n") == 2


def test_a_batch_that_does_not_divide_is_refused_before_anything_is_compiled():
    recipe = override(load(RECIPES[1], RunConfig), ["train.accumulate=64"])
    with pytest.raises(
        UserError,
        match="batch_rows / accumulate = 4 must be divisible by data × fsdp = 8; set it to a multiple of 512",
    ):
        check.check(recipe, "gpus")


def test_the_trainers_step_is_what_is_compiled():
    """On the CPU's devices, which compile as a pod's would."""
    mesh = make_mesh(MeshConfig(1, 2, 2, 1), jax.devices()[:4])
    row = check.compile_step(make_config(train={"batch_rows": 4}), mesh)
    assert row["argument_bytes"] >= state_bytes(make_config(), mesh)
    assert row["peak_bytes"] >= row["argument_bytes"]
    assert row["collectives"]["all-gather"]["count"] > 0
    assert row["peak_bytes"] < GIB
