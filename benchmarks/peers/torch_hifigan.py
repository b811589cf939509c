"""PyTorch's side of the vocoder's benchmark: the same generator of PyTorch's convolutions, with weight
normalisation folded.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from spirit_jax.speech.decoders.hifigan import LAST_SLOPE, SLOPE, Generator
from spirit_jax.speech.decoders.hifigan_config import GeneratorConfig
from spirit_jax.speech.kernels.convolution import Conv, TransposedConv

PUBLISHED = GeneratorConfig(
    rates=(5, 4, 4, 4, 2),
    rate_kernels=(11, 8, 8, 8, 4),
    channels=512,
    block_kind=1,
    block_kernels=(3, 7, 11),
    block_dilations=((1, 3, 5),) * 3,
    units=500,
    width=128,
    hop=640,
    speakers=4,
    style_ids=26,
    duration_width=128,
)


class UnitGain:
    """A source of random weights of unit gain, so that the signal keeps its size through the layers."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def array(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """A table or a bias."""
        return self.rng.standard_normal(shape).astype(np.float32) * np.float32(0.1 if len(shape) == 1 else 1)

    def kernel(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """A kernel [O, I, K], normal with variance 1 / (number of summed inputs).

        A transposed one is [I, O, K]; about two of its taps reach a sample.
        """
        summed = 2 * shape[0] if name.startswith("ups") else np.prod(shape[1:])
        return (self.rng.standard_normal(shape) / np.sqrt(summed)).astype(np.float32)


def torch_generator(generator: Generator, device: torch.device) -> Callable[[torch.Tensor], torch.Tensor]:
    """The generator in PyTorch: condition [B, D, T] to [B, samples], both on `device`."""
    pre, post = _weights(generator.pre, device), _weights(generator.post, device)
    ups = [(*_weights(up, device), up.stride, up.padding) for up in generator.ups]
    stages = [
        [[[_weights(conv, device) for conv in path] for path in block.paths] for block in blocks]
        for blocks in generator.stages
    ]
    dilations = [block.dilations for block in generator.stages[0]]

    def residual(x, paths, steps):
        for path, dilation in zip(paths, steps):
            y = x
            for weights, step in zip(path, (dilation, 1)):
                y = _conv(F.leaky_relu(y, SLOPE), weights, step)
            x = x + y
        return x

    def forward(x):
        x = _conv(x, pre)
        for (weight, bias, stride, padding), blocks in zip(ups, stages):
            x = F.conv_transpose1d(F.leaky_relu(x, SLOPE), weight, bias, stride=stride, padding=padding)
            x = sum(residual(x, paths, steps) for paths, steps in zip(blocks, dilations)) / len(blocks)
        return torch.tanh(_conv(F.leaky_relu(x, LAST_SLOPE), post))[:, 0]

    return forward


def _conv(x: torch.Tensor, weights: tuple[torch.Tensor, torch.Tensor], dilation: int = 1) -> torch.Tensor:
    return F.conv1d(x, *weights, padding=dilation * (weights[0].shape[2] - 1) // 2, dilation=dilation)


def _weights(conv: Conv | TransposedConv, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Kernel [O, I, K] (transposed [I, O, K]) and bias."""
    axes = (1, 2, 0) if isinstance(conv, TransposedConv) else (2, 1, 0)
    kernel, bias = np.array(conv.kernel_KIO[...]).transpose(axes).copy(), np.array(conv.bias_O[...])
    return torch.from_numpy(kernel).to(device), torch.from_numpy(bias).to(device)
