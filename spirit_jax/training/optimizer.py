"""AdamW with warm-up, clipping and a schedule, as `OptimConfig` says."""

import jax
import optax
from flax import nnx

from spirit_jax.config import OptimConfig, Schedule


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
    """Clip by the global norm, then AdamW; matrices are decayed, see `decay_mask`. Moments take their
    parameters' axes with them.
    """
    adamw = optax.adamw(
        make_schedule(config, steps),
        config.b1,
        config.b2,
        config.eps,
        weight_decay=config.weight_decay,
        mask=decay_mask,
    )
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), adamw)


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
