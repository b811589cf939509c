"""A model that is split over devices generates and scores what it does on one."""

import dataclasses

import jax
import numpy as np
import pytest

from spirit_jax.config import Dtype
from spirit_jax.core.errors import UserError
from spirit_jax.generation.engine import prefill
from spirit_jax.generation.prompt_batches import batch_prompts
from spirit_jax.generation.sampling import GREEDY, Sampling
from spirit_jax.model.llama import abstract
from spirit_jax.scoring.likelihood import log_probs
from spirit_jax.sharding import make_inference_mesh, use_mesh_of
from tests.generation.tiny import CONFIG, VOCABULARY, llama, new_ids, random_llama

MESHES = [{"tensor": 2}, {"data": 2, "tensor": 2}, {"fsdp": 2}, {"data": 2, "fsdp": 2, "tensor": 2}]
NOTHING = np.zeros(CONFIG.rows, bool)


def split_llama(sizes, model=None):
    model = llama() if model is None else model
    shapes = abstract(model.cfg, make_inference_mesh(sizes))
    return jax.tree.map(lambda a, s: jax.device_put(a, s.sharding), model, shapes)


def random_prompts(count, high=40, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(3, VOCABULARY.size, rng.integers(1, high)).astype(np.int32) for _ in range(count)]


def spell(sizes):
    return " ".join(f"{axis}{size}" for axis, size in sizes.items())


@pytest.mark.parametrize("sizes", MESHES, ids=spell)
@pytest.mark.parametrize("sampling", [GREEDY, Sampling(0.8, 0.95)], ids=["greedy", "sampled"])
def test_tokens_are_those_of_one_device(sizes, sampling):
    prompts = random_prompts(9)
    expected = new_ids(llama(), prompts, NOTHING, 12, sampling, 3)
    found = new_ids(split_llama(sizes), prompts, NOTHING, 12, sampling, 3)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.fixture
def all_optimisations():
    """XLA's, which `make test` turns off: without them the order of float32 sums differs more."""
    found = jax.config.read("jax_disable_most_optimizations")
    jax.clear_caches()
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", found)


@pytest.mark.usefixtures("all_optimisations")
@pytest.mark.parametrize("sizes", MESHES, ids=spell)
def test_likelihoods_are_those_of_one_device(sizes):
    """To the order of float32 sums; to the bit where only rows are split. Several share a prompt."""
    prompts = random_prompts(9)
    pairs = list(zip([*prompts, *prompts], random_prompts(18, seed=1)))
    found, expected = log_probs(split_llama(sizes), pairs), log_probs(llama(), pairs)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("sizes", [{"tensor": 2}, {"data": 2, "tensor": 2}], ids=spell)
def test_each_device_holds_its_part_of_the_cache_and_of_the_weights(sizes):
    model = split_llama(sizes)
    with use_mesh_of(model):
        batch = next(batch_prompts(random_prompts(8), CONFIG, 32))
        rows, slots = batch.tokens_BP.shape
        zeros_B = np.zeros(rows, np.uint32)
        state = prefill(model, batch.tokens_BP, batch.lengths_B, zeros_B, zeros_B, slots=slots + 32)
    part = (rows // sizes.get("data", 1), CONFIG.kv_heads // 2, slots + 32, CONFIG.head_width)
    for cache in jax.tree.leaves(state.cache):
        assert {shard.data.shape for shard in cache.addressable_shards} == {part}
    mlp = model.layers.mlp.gate_DF[...]
    assert {shard.data.shape[-1] for shard in mlp.addressable_shards} == {CONFIG.mlp_width // 2}


def test_a_bfloat16_model_is_split_too():
    model = random_llama(dataclasses.replace(CONFIG, dtype=Dtype.BFLOAT16), 1.0)
    pairs = list(zip(random_prompts(5), random_prompts(5, seed=1)))
    found, expected = log_probs(split_llama({"tensor": 2}, model), pairs), log_probs(model, pairs)
    for ours, theirs in zip(found, expected, strict=True):
        assert abs(ours.mean() - theirs.mean()) < 2**-6 * abs(theirs.mean())  # bfloat16 has 8 bits


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ({"context": 2}, "mesh = context=2: must be a size of at least 1 of data, fsdp, tensor"),
        ({"tensor": 0}, "mesh = tensor=0: must be a size"),
        ({"data": 4, "tensor": 4}, "mesh = data=4 tensor=4: needs 16 devices, and this process has 8"),
    ],
)
def test_a_mesh_that_cannot_be_is_refused(sizes, says):
    with pytest.raises(UserError, match=says):
        make_inference_mesh(sizes)


def test_a_mesh_that_does_not_divide_the_model_is_refused():
    with pytest.raises(UserError, match="axis kv_heads = 2: must be divisible by its 8 parts"):
        abstract(CONFIG, make_inference_mesh({"tensor": 8}))
