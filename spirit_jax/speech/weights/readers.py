"""Readers of weights, which a module asks by published names and in PyTorch's axis order: from a checkpoint,
or at random.
"""

import math
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.speech.kernels.convolution import Conv
from spirit_jax.speech.weights.torch_files import Tensors

# PyTorch's older and newer names
BATCH_NORM_EPS = 1e-5  # under the root; PyTorch's default
PAIRS = (("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1"))


class WeightReader(Protocol):
    """Gives a module its weights."""

    def array(self, name: str, shape: tuple[int, ...]) -> Any:
        """The array of that name."""
        ...

    def kernel(self, name: str, shape: tuple[int, ...]) -> Any:
        """The kernel of the layer `name`. A checkpoint may store it with weight normalisation."""
        ...

    def batch_norm(self, name: str, width: int) -> tuple[Any, Any]:
        """The scale [width] and the shift [width] that the batch norm `name` applies to its channels."""
        ...


class CheckpointReader:
    """The weights of a checkpoint; `Tensors` accounts for each of them. `length_axis`: the axis along which
    weight normalisation stores its lengths.
    """

    def __init__(self, tensors: Tensors, length_axis: int = 0):
        self.tensors, self.length_axis = tensors, length_axis

    def array(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """As stored."""
        return self.tensors.take(name, shape)

    def kernel(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """With weight normalisation applied: w = g v / |v|, with a length g for each index of its axis. That
        is the first axis, also of transposed kernels (observed in Meta's release).
        """
        for length, direction in PAIRS:
            if f"{name}.{direction}" in self.tensors:
                v = self.tensors.take(f"{name}.{direction}", shape).astype(np.float64)
                others = tuple(axis for axis in range(v.ndim) if axis != self.length_axis % v.ndim)
                g = self.tensors.take(
                    f"{name}.{length}",
                    tuple(1 if axis in others else size for axis, size in enumerate(shape)),
                )
                norm = np.sqrt(np.square(v).sum(axis=others, keepdims=True))
                if not np.all(norm):
                    raise UserError(
                        f"{self.tensors.where} weight {name}.{direction}",
                        0.0,
                        "has a part of length 0, without direction",
                        "fetch it again",
                    )
                return (g * v / norm).astype(np.float32)
        return self.tensors.take(f"{name}.weight", shape)

    def batch_norm(self, name: str, width: int) -> tuple[np.ndarray, np.ndarray]:
        """With the moments that training stored, in float64: weight (x - mean) / sqrt(var + eps) + bias."""
        weight, bias, mean, variance = (
            self.tensors.take(f"{name}.{part}", (width,)).astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        self.tensors.ignore(f"{name}.num_batches_tracked")
        if variance.min() < 0:
            what = f"{self.tensors.where} weight {name}.running_var"
            raise UserError(what, variance.min(), "has a variance below 0", "fetch it again")
        scale = weight / np.sqrt(variance + BATCH_NORM_EPS)
        return scale, bias - mean * scale


class RandomReader:
    """Random weights to start training from: normal, biases 0, scales of norms 1.

    The standard deviation is 1 / sqrt(number of terms in each sum), for kernels `kernel_scale` if given: our
    choice.
    """

    def __init__(self, key: jax.Array, kernel_scale: float | None = None):
        self.key, self.kernel_scale, self.count = key, kernel_scale, 0

    def array(self, name: str, shape: tuple[int, ...]) -> jax.Array:
        """A vector of ones or zeros, or a matrix or table, normal."""
        if len(shape) == 1:
            return jnp.full(shape, float(name.endswith("weight")))
        return self._normal(shape, 1 / math.sqrt(math.prod(shape[1:])))

    def kernel(self, name: str, shape: tuple[int, ...]) -> jax.Array:
        """Normal."""
        return self._normal(shape, self.kernel_scale or 1 / math.sqrt(math.prod(shape[1:])))

    def batch_norm(self, name: str, width: int) -> tuple[jax.Array, jax.Array]:
        """Ones and zeros."""
        return jnp.ones(width), jnp.zeros(width)

    def _normal(self, shape: tuple[int, ...], scale: float) -> jax.Array:
        self.count += 1
        return scale * jax.random.normal(jax.random.fold_in(self.key, self.count), shape, jnp.float32)


def read_conv(reader: WeightReader, name: str, taps: int, inputs: int, outputs: int) -> Conv:
    """The convolution `name`, with or without weight normalisation."""
    return Conv(
        reader.kernel(name, (outputs, inputs, taps)).transpose(2, 1, 0),
        reader.array(f"{name}.bias", (outputs,)),
    )
