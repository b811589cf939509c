"""AdamW with warm-up, clipping and a schedule, as `OptimConfig` says."""

import jax
import optax
import optax.contrib
from flax import nnx

from spirit_jax.config import OptimConfig, Optimizer, Schedule

ADAM_RMS = 0.2  # of AdamW's usual update at rate 1 (Liu et al. 2025)


def make_schedule(config: OptimConfig, steps: int) -> optax.Schedule:
    """Learning rate by step (0 is the first update): a line from near 0 to the peak over `warmup_steps`, then
    constant or cosine.

    The cosine ends at `final_lr_fraction` of the peak on step `steps`. The rate of the first update is
    peak / warmup_steps, not 0.
    """
    warmup = config.warmup_steps
    if config.schedule is Schedule.COSINE:
        after = optax.cosine_decay_schedule(
            config.peak_lr, max(steps - warmup, 1), alpha=config.final_lr_fraction
        )
    else:
        after = optax.constant_schedule(config.peak_lr)
    if not warmup:
        return after
    rise = optax.linear_schedule(config.peak_lr / warmup, config.peak_lr, max(warmup - 1, 1))
    return optax.join_schedules([rise, after], [warmup])


def make_optimizer(config: OptimConfig, steps: int) -> optax.GradientTransformation:
    """Clip by the global norm, then AdamW, or Muon for the layers' matrices; matrices are decayed, see
    `decay_mask`. Moments take their parameters' axes with them.
    """
    adam = optax.scale_by_adam(config.b1, config.b2, config.eps)
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        _muon(config) if config.optimizer is Optimizer.MUON else adam,
        optax.add_decayed_weights(config.weight_decay, decay_mask),
        optax.scale_by_learning_rate(make_schedule(config, steps)),
    )


def _muon(config: OptimConfig) -> optax.GradientTransformation:
    """Updates before the rate, whose sign optax would turn."""
    return optax.contrib.muon(
        learning_rate=-1.0,
        beta=config.muon_beta,
        eps=config.eps,
        adam_b1=config.b1,
        adam_b2=config.b2,
        muon_weight_dimension_numbers=matrix_axes,
        consistent_rms=ADAM_RMS,
    )


def matrix_axes(params: nnx.Module) -> nnx.Module:
    """For each matrix of the layers, which axes are its inputs and outputs, for Muon; None for the embedding
    table, the head and the norms.
    """
    return jax.tree.map(_matrix_axes, params, is_leaf=_is_variable)


def decay_mask(params: nnx.Module) -> nnx.Module:
    """True for parameters that weight decay shrinks: those with two axes or more besides 'layers' (our
    choice).

    So matrices, the embedding table and the head are decayed, norm scales are not. Axes are counted, never
    `ndim`: a stack of norm scales has two dimensions.
    """
    return jax.tree.map(_decays, params, is_leaf=_is_variable)


def _is_variable(leaf: object) -> bool:
    return isinstance(leaf, nnx.Variable)


def _decays(variable: nnx.Variable) -> bool:
    return sum(axis != "layers" for axis in variable.get_metadata("axes")) > 1


def _matrix_axes(variable: nnx.Variable) -> optax.contrib.MuonDimensionNumbers | None:
    axes = variable.get_metadata("axes")
    if "layers" not in axes or not _decays(variable):
        return None
    width, others = axes.index("width"), [i for i, axis in enumerate(axes) if axis not in ("layers", "width")]
    inputs, outputs = (others, [width]) if axes[-1] == "width" else ([width], others)
    return optax.contrib.MuonDimensionNumbers(tuple(inputs), tuple(outputs))
