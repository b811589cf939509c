"""Where a module gets its weights, by their published names and in PyTorch's axis order: from a checkpoint,
or drawn at random.
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
PAIRS = (("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1"))


class Source(Protocol):
    """What a module asks for its weights."""

    def array(self, name: str, shape: tuple[int, ...]) -> Any:
        """The array of that name."""
        ...

    def kernel(self, name: str, shape: tuple[int, ...]) -> Any:
        """The weight `name` of a layer, which a checkpoint may hold with weight normalisation."""
        ...


class Stored:
    """The weights of a checkpoint; `Tensors` accounts for each of them. `length_axis`: along which weight
    normalisation keeps its lengths.
    """

    def __init__(self, tensors: Tensors, length_axis: int = 0):
        self.tensors, self.length_axis = tensors, length_axis

    def array(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """As stored."""
        return self.tensors.take(name, shape)

    def kernel(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Weight normalisation folded away: w = g v / |v|, a length g for each place on its axis [B: the
        first, also of transposed kernels].
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


class Drawn:
    """Random weights to start a training from: normal, biases 0, scales of norms 1.

    The deviation of kernels is `kernel_scale`, else as for all others one over the root of what they sum
    over: a choice.
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

    def _normal(self, shape: tuple[int, ...], scale: float) -> jax.Array:
        self.count += 1
        return scale * jax.random.normal(jax.random.fold_in(self.key, self.count), shape, jnp.float32)


def read_conv(source: Source, name: str, taps: int, inputs: int, outputs: int) -> Conv:
    """The convolution `name`, with or without weight normalisation."""
    return Conv(
        source.kernel(name, (outputs, inputs, taps)).transpose(2, 1, 0),
        source.array(f"{name}.bias", (outputs,)),
    )
