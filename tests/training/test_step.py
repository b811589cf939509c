import dataclasses
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.config import Dtype, MeshConfig, ModelConfig, OptimConfig
from spirit_jax.model.batch import Batch
from spirit_jax.model.llama import abstract, init_sharded
from spirit_jax.model.loss import loss_terms
from spirit_jax.sharding import make_mesh, place_batch, shardings_of
from spirit_jax.training.data.batches import training_batches
from spirit_jax.training.optimizer import make_optimizer
from spirit_jax.training.state import abstract_state, make_state
from spirit_jax.training.step import make_eval_step, make_train_step
from tests.training.tiny import MODEL, VOCABULARY, make_data

OPTIMIZER = make_optimizer(OptimConfig(1e-2, 2), 10)


def some_batches(count: int, rows: int = 8) -> list[Batch]:
    batches = itertools.islice(training_batches(make_data().train, 32, rows, 0), count)
    rng = np.random.default_rng(0)  # rows with very different numbers of tokens
    return [
        dataclasses.replace(b, loss_weights=b.loss_weights * (rng.random((rows, 1)) < 0.5).astype(np.float32))
        for b in batches
    ]


def run_steps(
    mesh_config: MeshConfig,
    batches: list[Batch],
    accumulate: int = 1,
    config: ModelConfig = MODEL,
    text_weight: float = 1.0,
):
    mesh = make_mesh(mesh_config, jax.devices()[: mesh_config.data * mesh_config.fsdp * mesh_config.tensor])
    shapes = abstract_state(abstract(config, mesh), OPTIMIZER, mesh)
    model = init_sharded(config, jax.random.key(0), mesh)
    state = jax.jit(lambda m: make_state(m, OPTIMIZER), out_shardings=shardings_of(shapes))(model)
    history = []
    with jax.set_mesh(mesh):
        step = make_train_step(
            OPTIMIZER, VOCABULARY.text_size, accumulate, shardings_of(shapes), text_weight=text_weight
        )
        for batch in batches:
            state, metrics = step(state, place_batch(batch, mesh))
            history.append(jax.device_get(metrics))
    assert step._cache_size() == 1, "compiled more than once"
    assert jax.tree.all(
        jax.tree.map(lambda x, s: x.sharding.is_equivalent_to(s.sharding, x.ndim), state, shapes)
    )
    return jax.device_get(state), history


@pytest.fixture(scope="module")
def one_device():
    return run_steps(MeshConfig(1, 1, 1), some_batches(3))


def assert_same(got, expected, tolerance: float):
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def test_the_loss_falls_and_updates_are_counted(one_device):
    state, history = one_device
    assert state.step == 3
    losses = [h.nll_M.sum() / h.weight_M.sum() for h in history]
    assert losses[2] < losses[0]
    assert [h.weight_M.sum() for h in history] == [b.loss_weights.sum() for b in some_batches(3)]


def test_accumulation_is_one_large_batch(one_device):
    assert_same(run_steps(MeshConfig(1, 1, 1), some_batches(3), 4), one_device, 2e-5)


def test_eight_devices_are_one(one_device):
    assert_same(run_steps(MeshConfig(2, 2, 2), some_batches(3), 2), one_device, 2e-5)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 2, 2)])
def test_bfloat16_follows_float32(one_device, sizes):
    """What pods compute in: the losses differ by less than bfloat16's own rounding, 1/256; weights and
    moments stay float32.
    """
    state, history = run_steps(
        MeshConfig(*sizes), some_batches(3), config=dataclasses.replace(MODEL, dtype=Dtype.BFLOAT16)
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(state) if leaf.ndim > 1} == {np.dtype(np.float32)}
    got, expected = ([h.nll_M.sum() / h.weight_M.sum() for h in steps] for steps in (history, one_device[1]))
    assert got != expected
    np.testing.assert_allclose(got, expected, rtol=2**-8)


def test_accumulation_splits_rows_among_their_own_devices():
    """Part a takes rows a, a + A, ..: with rows split over two devices, each part has rows of both."""
    from spirit_jax.training.step import _split_rows

    np.testing.assert_array_equal(
        _split_rows(jnp.arange(8)[:, None], 2)[..., 0], [[0, 2, 4, 6], [1, 3, 5, 7]]
    )


def test_what_has_no_weight_changes_nothing(one_device):
    def scribble(batch: Batch) -> Batch:
        silent_B1 = batch.loss_weights.max(1, keepdims=True) == 0
        return dataclasses.replace(
            batch,
            tokens=np.where(silent_B1, 7, batch.tokens),
            targets=np.where(batch.loss_weights > 0, batch.targets, 9),
        )

    state, _ = run_steps(MeshConfig(1, 1, 1), [scribble(batch) for batch in some_batches(3)])
    assert_same(state.model, one_device[0].model, 2e-5)


@pytest.mark.parametrize("accumulate", [1, 4])
def test_text_counts_as_often_as_asked_in_the_mean_that_is_differentiated(accumulate):
    batches = some_batches(2)
    often = [np.where(batch.targets < VOCABULARY.text_size, 5, 1).astype(np.float32) for batch in batches]
    heavy = [
        dataclasses.replace(batch, loss_weights=batch.loss_weights * by) for batch, by in zip(batches, often)
    ]
    state, history = run_steps(MeshConfig(2, 1, 1), batches, accumulate, text_weight=5.0)
    expected, heavier = run_steps(MeshConfig(1, 1, 1), heavy)
    assert_same(state.model, expected.model, 2e-5)
    np.testing.assert_allclose(history[0].grad_norm, heavier[0].grad_norm, rtol=1e-4)
    for metrics, batch in zip(history, batches):
        np.testing.assert_allclose(metrics.weight_M.sum(), batch.loss_weights.sum())


def test_an_empty_batch_moves_only_by_decay_and_gives_no_nan():
    empty = jax.tree.map(np.zeros_like, some_batches(1)[0])
    state, history = run_steps(MeshConfig(1, 1, 1), [empty])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))
    assert history[0].grad_norm == 0


def test_evaluation_gives_the_sums_of_training(one_device):
    model = init_sharded(MODEL, jax.random.key(0), make_mesh(MeshConfig(1, 1, 1), jax.devices()[:1]))
    terms = make_eval_step(VOCABULARY.text_size)(model, some_batches(1)[0])
    np.testing.assert_allclose(terms["nll"], one_device[1][0].nll_M, rtol=1e-5)
    np.testing.assert_allclose(terms["weight"], one_device[1][0].weight_M)


def test_a_bad_batch_changes_nothing_and_is_counted():
    first, second = some_batches(2)
    bad = dataclasses.replace(first, loss_weights=first.loss_weights * np.float32(np.nan))
    state, history = run_steps(MeshConfig(1, 1, 1), [first, bad, second])
    expected, _ = run_steps(MeshConfig(1, 1, 1), [first, second])
    assert_same((state.model, state.opt), (expected.model, expected.opt), 0.0)
    assert (state.step, state.guard.skipped, state.guard.in_a_row, expected.guard.skipped) == (3, 1, 0, 0)
    assert [int(h.guard.in_a_row) for h in history] == [0, 1, 0]


def test_losses_by_source_are_those_of_its_tokens_alone():
    model = init_sharded(MODEL, jax.random.key(0), make_mesh(MeshConfig(1, 1, 1), jax.devices()[:1]))
    batch = some_batches(1)[0]
    terms_of = jax.jit(loss_terms, static_argnums=(2, 3))
    terms = terms_of(model, batch, VOCABULARY.text_size, 3)[1]
    assert (np.asarray(terms["source_weight"]) > 0).all()
    for source in range(3):
        alone = dataclasses.replace(batch, loss_weights=batch.loss_weights * (batch.source_ids == source))
        nll, weight = (
            terms_of(model, alone, VOCABULARY.text_size, 3)[1][name].sum() for name in ("nll", "weight")
        )
        np.testing.assert_allclose(terms["source_nll"][source], nll, rtol=1e-5)
        assert terms["source_weight"][source] == weight


def lowered(reduce_dtype: Dtype, accumulate: int = 1) -> str:
    """The step of a bfloat16 model for eight devices, before it is divided among them."""
    config, mesh = dataclasses.replace(MODEL, dtype=Dtype.BFLOAT16), make_mesh(MeshConfig(4, 2, 1))
    shapes = abstract_state(abstract(config, mesh), OPTIMIZER, mesh)
    with jax.set_mesh(mesh):
        step = make_train_step(
            OPTIMIZER, VOCABULARY.text_size, accumulate, shardings_of(shapes), reduce_dtype=reduce_dtype
        )
        return step.lower(shapes, place_batch(some_batches(1, 8 * accumulate)[0], mesh)).as_text()


@pytest.mark.parametrize("dtype", list(Dtype))
def test_products_that_give_gradients_have_the_type_in_which_devices_sum(dtype):
    """Devices sum what a product gives, so its type is that of the sum. The head's is float32."""
    kinds = set(re.findall(r"dot_general.*-> tensor<\d+x\d+x(b?f\d+)>", lowered(dtype)))
    assert kinds == ({"f32"} if dtype is Dtype.FLOAT32 else {"f32", "bf16"})


@pytest.mark.parametrize("dtype", list(Dtype))
def test_parts_of_a_batch_are_summed_in_float32(dtype):
    """Arrays with an axis of layers are added for nothing else than sums over parts, and updates."""
    layers, gate = MODEL.layers, f"{MODEL.width}x{MODEL.mlp_width}"
    kinds = re.findall(rf"stablehlo.add .*: tensor<{layers}x{gate}x(b?f\d+)>", lowered(dtype, 2))
    assert set(kinds) == {"f32"}
