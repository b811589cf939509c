"""The training step: one pure function of (state, batch), compiled once on the mesh.

A accumulation parts, B rows, T tokens, M modalities (`spirit_jax.model.loss.MODALITIES`), N sources.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from spirit_jax.config import Dtype
from spirit_jax.model.batch import Batch
from spirit_jax.model.linear import DTYPES
from spirit_jax.model.llama import Llama, is_param
from spirit_jax.model.loss import loss_terms, weigh
from spirit_jax.runs.state import TrainState
from spirit_jax.training.guard import Guard, judge

# by platform. On TPUs weights are gathered while other work runs: without these, v6e waits for each of them
# (docs/pods.md)
COMPILER_OPTIONS = {
    "tpu": {
        "xla_enable_async_all_gather": "true",
        "xla_tpu_enable_async_collective_fusion": "true",
        "xla_tpu_enable_async_collective_fusion_fuse_all_gather": "true",
        "xla_tpu_enable_async_collective_fusion_multiple_steps": "true",
        "xla_tpu_overlap_compute_collective_tc": "true",
    }
}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class StepMetrics:
    """Sums over one batch. nll_M, weight_M: float32 [M]; nll_N, weight_N: float32 [N]; grad_norm: before
    clipping, of the mean loss; guard: after the step.
    """

    nll_M: jax.Array
    weight_M: jax.Array
    nll_N: jax.Array
    weight_N: jax.Array
    grad_norm: jax.Array
    guard: Guard


TrainStep = Callable[[TrainState, Batch], tuple[TrainState, StepMetrics]]
EvalStep = Callable[[Llama, Batch], dict[str, jax.Array]]


def make_train_step(
    optimizer: optax.GradientTransformation,
    text_size: int,
    accumulate: int,
    shardings: TrainState,
    sources: int = 1,
    reduce_dtype: Dtype = Dtype.FLOAT32,
    text_weight: float = 1.0,
) -> TrainStep:
    """Compiles (state, batch) -> (state after one update, metrics); the state passed in is donated.

    The gradient is that of the batch's mean loss over weighted tokens, whatever `accumulate`: parts are
    weighted by their tokens. A step whose loss or gradient the guard refuses leaves weights and optimizer
    unchanged, and is counted. sources: N of the metrics. reduce_dtype: see `OptimConfig`. text_weight: see
    `TrainConfig`; metrics are without it.
    """

    def loss(model: Llama, part: Batch) -> tuple[jax.Array, dict[str, jax.Array]]:
        return loss_terms(_cast_matrices(model, reduce_dtype), part, text_size, sources, text_weight)

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, StepMetrics]:
        grads, terms = _summed_gradients(loss, state.model, batch, accumulate)
        total = jnp.maximum(weigh(terms["weight"], text_weight), 1.0)
        grads = jax.tree.map(lambda g: g / total, grads)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes its integer counter with floats
            updates, opt = optimizer.update(grads, state.opt, state.model)
            model = optax.apply_updates(state.model, updates)
        norm = optax.global_norm(grads)
        good, guard = judge(state.guard, terms["nll"].sum(), norm)
        model, opt = jax.tree.map(
            lambda new, old: jnp.where(good, new, old), (model, opt), (state.model, state.opt)
        )
        metrics = StepMetrics(
            terms["nll"], terms["weight"], terms["source_nll"], terms["source_weight"], norm, guard
        )
        return TrainState(state.step + 1, model, opt, guard), metrics

    options = COMPILER_OPTIONS.get(jax.tree.leaves(shardings)[0].mesh.devices.flat[0].platform)
    return jax.jit(
        train_step, donate_argnums=0, out_shardings=(shardings, shardings.step), compiler_options=options
    )


def make_eval_step(text_size: int) -> EvalStep:
    """Compiles (model, batch) -> sums by modality, see `loss_terms`."""
    return jax.jit(lambda model, batch: loss_terms(model, batch, text_size)[1])


def _cast_matrices(model: Llama, dtype: Dtype) -> Llama:
    """The model with the matrices of its layers in `dtype`. Their gradients have this type too, when devices
    sum them (`spirit_jax.model.linear`); those of the model given are float32.
    """

    def cast(variable: Any) -> Any:
        axes = variable.get_metadata("axes")
        if "layers" not in axes or "norm" in axes:
            return variable
        return jax.tree.map(lambda a: a.astype(DTYPES[dtype]), variable)

    return jax.tree.map(cast, model, is_leaf=is_param)


def _summed_gradients(
    loss: Callable[[Llama, Batch], Any], model: Llama, batch: Batch, accumulate: int
) -> tuple[Llama, dict[str, jax.Array]]:
    """Gradient of the summed loss, and its terms; one part of the batch at a time, summed in float32."""
    gradient = jax.grad(loss, has_aux=True)
    if accumulate == 1:
        return gradient(model, batch)

    def add_part(sums: Any, part: Batch) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, sums, gradient(model, part)), None

    parts = jax.tree.map(lambda x: _split_rows(x, accumulate), batch)
    zeros = jax.tree.map(
        lambda s: jnp.zeros(s.shape, s.dtype),
        jax.eval_shape(lambda m: gradient(m, batch), model),
    )
    return jax.lax.scan(add_part, zeros, parts)[0]


def _split_rows(x_BT: jax.Array, accumulate: int) -> jax.Array:
    """[B, T] -> [A, B/A, T]; part a takes the rows a, a + A, .., so that a device's share of each part is
    among its own rows.
    """
    return jnp.swapaxes(x_BT.reshape(-1, accumulate, *x_BT.shape[1:]), 0, 1)
