"""Every recipe can be read, and its mesh and batch go together."""

from pathlib import Path

import pytest
from jax.sharding import AbstractMesh

from spirit_jax.config import RunConfig
from spirit_jax.core.files import read_jsonl
from spirit_jax.core.settings import load
from spirit_jax.model.llama import abstract
from spirit_jax.pod_check.check import check
from spirit_jax.pod_check.command import tabulate, tabulate_generation
from spirit_jax.pod_check.pod import HBM_SHARE, pod_of
from spirit_jax.sharding import MESH_AXES, fill_sizes
from spirit_jax.tokens.interleave import Arrangement
from spirit_jax.training.data.placement import check_batch

ROOT = Path(__file__).parent.parent.parent / "tpu_configs"
PATHS = {path.stem: path for room in ("pods", "gpus") for path in ROOT.glob(f"{room}/[!_]*.py")}
PODS = sorted(PATHS)


DOCS = ROOT.parent / "docs"
ROWS = {row["recipe"]: row for row in read_jsonl(DOCS / "pods.jsonl")}


@pytest.mark.parametrize("name", PODS)
def test_mesh_batch_and_model_divide(name):
    recipe = load(PATHS[name], RunConfig)
    pod = pod_of(recipe.mesh)
    mesh = AbstractMesh(fill_sizes(recipe.mesh, pod.devices), MESH_AXES)
    check_batch(recipe, mesh)
    abstract(recipe.model, mesh)
    assert mesh.shape["data"] % pod.slices == 0


@pytest.mark.parametrize("name", PODS)
def test_the_documented_row_is_this_recipes_and_fits(name):
    """By compiler for every TPU recipe; what follows by arithmetic is as the code has it now."""
    row, recipe = ROWS[name], load(PATHS[name], RunConfig)
    assert row["memory_by"] == ("compiler" if pod_of(recipe.mesh).chip.platform == "tpu" else "analysis")
    again = check(recipe, name, given=row)
    assert again | {"date": row["date"]} == row
    assert row["peak_bytes"] <= HBM_SHARE * pod_of(recipe.mesh).chip.hbm


def test_the_documented_tables_are_of_the_documented_rows():
    assert set(ROWS) == set(PODS)
    for table in (tabulate, tabulate_generation):
        assert table(list(ROWS.values())) in (DOCS / "pods.md").read_text()


@pytest.mark.parametrize("name", [name for name in PODS if name.startswith("spirit")])
def test_spirit_recipes_are_the_papers(name):
    recipe = load(PATHS[name], RunConfig)
    assert recipe.train.batch_rows * recipe.data.sequence_length == 2**20
    assert (recipe.optim.peak_lr, recipe.model.rope_theta) == (3e-5, 100_000)
    assert recipe.model.rows == (32_768 if "expressive" in name else 32_512)
    assert {source.arrangement for source in recipe.data.sources} == {
        Arrangement.SPEECH,
        Arrangement.INTERLEAVED,
        Arrangement.TEXT,
    }
    assert len({source.weight for source in recipe.data.sources}) == 1


def test_the_issued_pods_are_there():
    pods = ("v4_128", "v5e_256", "v5p_64", "v5p_128", "v6e_64")
    assert {f"spirit_{variant}_7b_{pod}" for variant in ("base", "expressive") for pod in pods} <= set(PODS)
