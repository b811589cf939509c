"""How long each unit lasts: the duration predictor of decoders that are networks (Polyak et al. 2021; paper,
section 3.3).

Legend: B rows, N units before they are repeated, D channels, T frames.

Past the end of a row every layer's input is zero, so that padding does not change a row.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from spirit_jax.core.batching import buckets, lengths_of, stack
from spirit_jax.core.errors import UserError
from spirit_jax.speech.kernels.convolution import param
from spirit_jax.speech.kernels.product import product
from spirit_jax.speech.weights.readers import WeightReader, read_conv

NORM_EPS = 1e-5
SHORTEST = 32  # units or frames of a compiled call


class DurationPredictor(nnx.Module):
    """Two convolutions with ReLU and layer norm, and a projection, from unit embeddings to log(1
    + frames).
    """

    def __init__(self, inputs: int, width: int, taps: int, reader: WeightReader):
        sizes = (inputs, width, width)
        self.convs, self.scales, self.shifts = nnx.List(), nnx.List(), nnx.List()
        for i, (before, outputs) in enumerate(zip(sizes, sizes[1:]), 1):
            self.convs.append(read_conv(reader, f"dur_predictor.conv{i}.0", taps, before, outputs))
            self.scales.append(param(reader.array(f"dur_predictor.ln{i}.weight", (outputs,))))
            self.shifts.append(param(reader.array(f"dur_predictor.ln{i}.bias", (outputs,))))
        self.proj_D = param(reader.array("dur_predictor.proj.weight", (1, width))[0])
        self.bias = param(reader.array("dur_predictor.proj.bias", (1,)))

    def __call__(self, x_BND: jax.Array, stop_B: jax.Array) -> jax.Array:
        """[B, N]."""
        keep = keeper(x_BND.shape[1], stop_B)
        for conv, scale_D, shift_D in zip(self.convs, self.scales, self.shifts):
            x_BND = jax.nn.relu(conv(keep(x_BND)))
            centred = x_BND - x_BND.mean(axis=-1, keepdims=True)
            x_BND = centred * jax.lax.rsqrt(jnp.square(centred).mean(axis=-1, keepdims=True) + NORM_EPS)
            x_BND = x_BND * scale_D[...][None, None] + shift_D[...][None, None]
        return product(x_BND, self.proj_D[...][:, None])[..., 0] + self.bias[...][None]


class PredictsDurations(Protocol):
    """A network with a duration predictor, or with None in its place."""

    duration: DurationPredictor | None

    def log_durations(self, units_BN: jax.Array, stop_B: jax.Array) -> jax.Array:
        """log(1 + frames) of each unit, float32 [B, N]; of row b the first stop_B[b] count."""
        ...


def predict(network: PredictsDurations, units: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Frames of each unit, int32 [N] at least 1, for each sequence: round(exp(x) - 1), halves to the even
    number (observed in Meta's release). UserError for a network without a duration predictor.
    """
    if network.duration is None:
        rule = "this decoder has no duration predictor"
        raise UserError("predicted durations", True, rule, "speak units that are not deduplicated")
    durations = [np.zeros(0, np.int32)] * len(units)
    for size, rows, indices in buckets([len(codes) for codes in units], SHORTEST):
        values = [units[i] for i in indices]
        frames_BN = np.asarray(_durations(network, stack(values, size, rows), lengths_of(values, rows)))
        for i, frames_N in zip(indices, frames_BN):
            durations[i] = frames_N[: len(units[i])]
    return durations


def keeper(length: int, stop_B: jax.Array) -> Callable[[jax.Array], jax.Array]:
    """A function that zeroes [B, T, D] past each row's own end."""
    inside_BT1 = (jnp.arange(length)[None] < stop_B[:, None])[..., None]
    return lambda x_BTD: jnp.where(inside_BT1, x_BTD, 0)


@jax.jit
def _durations(network: PredictsDurations, units_BN: jax.Array, stop_B: jax.Array) -> jax.Array:
    frames_BN = jnp.round(jnp.exp(network.log_durations(units_BN, stop_B)) - 1)
    return jnp.maximum(1, frames_BN).astype(jnp.int32)
