"""Random layers."""

import numpy as np

from spirit_jax.speech.kernels.convolution import Conv, GroupedConv
from spirit_jax.speech.kernels.strided_convolution import StridedConv


def normal(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def kernel(taps: int, inputs: int, outputs: int, seed: int = 0) -> np.ndarray:
    return normal(taps, inputs, outputs, seed=seed) / np.float32(np.sqrt(taps * inputs))


def random_conv(taps: int, inputs: int = 6, outputs: int = 5) -> Conv:
    return Conv(kernel(taps, inputs, outputs), normal(outputs))


def random_strided(
    taps: int, stride: int, inputs: int = 6, outputs: int = 5, bias: bool = True
) -> StridedConv:
    return StridedConv(kernel(taps, inputs, outputs), normal(outputs) if bias else None, stride)


def random_grouped(taps: int, groups: int = 4, width: int = 16) -> GroupedConv:
    return GroupedConv(kernel(taps, width // groups, width), normal(width), groups)
