"""Convolution of each channel with its own kernel, and a form that is faster on a CPU.

Legend: B rows, T samples, N stretches of samples, I channels, K taps.
"""

import jax
import jax.numpy as jnp

from spirit_jax.speech.kernels.product import EXACT

STRETCH = 96  # samples at a time, so that they stay in the cache
TOGETHER = 4  # taps that a step of the inner loop adds


def depthwise(x_BTI: jax.Array, kernel_KI: jax.Array) -> jax.Array:
    """[B, T, I] by an odd kernel for each channel, with zeros outside: [B, T, I]."""
    return jax.lax.platform_dependent(x_BTI, kernel_KI, cpu=depthwise_by_taps, default=depthwise_by_groups)


def depthwise_by_groups(x_BTI: jax.Array, kernel_KI: jax.Array) -> jax.Array:
    """The reference: a convolution with a group for each channel."""
    reach = len(kernel_KI) // 2
    y_BHTI = jax.lax.conv_general_dilated(
        x_BTI[:, None],
        kernel_KI[None, :, None],
        (1, 1),
        ((0, 0), (reach, reach)),
        feature_group_count=x_BTI.shape[-1],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=EXACT,
    )
    return y_BHTI[:, 0]


def depthwise_by_taps(x_BTI: jax.Array, kernel_KI: jax.Array) -> jax.Array:
    """A sum over taps in stretches of time.

    Gain: a twentieth of the CPU time for 3,000 samples of 1,024 channels by 31 taps, the convolution of FCPE
    for 30 s (`jax.jit` of both forms, 2 cores of Zen 4).
    """
    (rows, time, channels), taps = x_BTI.shape, len(kernel_KI)
    kernel_KI = jnp.pad(kernel_KI, ((0, -taps % TOGETHER), (0, 0)))
    x_BTI = jnp.pad(x_BTI, ((0, 0), (taps // 2, taps // 2 + TOGETHER + -time % STRETCH), (0, 0)))

    def one_stretch(start: jax.Array) -> jax.Array:
        seen = (rows, STRETCH + taps - 1 + TOGETHER, channels)
        seen_BTI = jax.lax.dynamic_slice(x_BTI, (0, start, 0), seen)

        def add_taps(i: jax.Array, sum_BTI: jax.Array) -> jax.Array:
            for tap in range(TOGETHER):
                place = i * TOGETHER + tap
                shifted_BTI = jax.lax.dynamic_slice(seen_BTI, (0, place, 0), (rows, STRETCH, channels))
                weight_1I = jax.lax.dynamic_slice(kernel_KI, (place, 0), (1, channels))
                sum_BTI = sum_BTI + shifted_BTI * weight_1I[None]
            return sum_BTI

        return jax.lax.fori_loop(
            0, len(kernel_KI) // TOGETHER, add_taps, jnp.zeros((rows, STRETCH, channels), x_BTI.dtype)
        )

    y_NBTI = jax.lax.map(one_stretch, jnp.arange(0, time, STRETCH))
    return y_NBTI.swapaxes(0, 1).reshape(rows, -1, channels)[:, :time]
