"""HiFi-GAN of the published size, JAX against PyTorch on the same random weights, one after the other in one run: times real time and the ratio.

    python benchmarks/bench_hifigan.py [--seconds 10] [--rounds 5]

Rounds alternate, and each side's best counts, so that another process on the machine hurts both alike.
"""

import argparse
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F

from spirit_jax.speech.convolution import Conv, TransposedConv, param
from spirit_jax.speech.hifigan import INITIAL_SCALE, LAST_SLOPE, SLOPE, Generator, GeneratorConfig, for_cpu, init_generator

PUBLISHED = GeneratorConfig(
    rates=(5, 4, 4, 4, 2), rate_kernels=(11, 8, 8, 8, 4), channels=512, block_kind=1, block_kernels=(3, 7, 11),
    block_dilations=((1, 3, 5),) * 3, units=500, width=128, hop=640, speakers=4, style_ids=26, duration_width=128,
)  # fmt: skip


def time_generator(seconds: float, rounds: int) -> dict[str, float]:
    """Seconds of speech made in a second, by JAX and by PyTorch, and their largest difference."""
    generator = lively(init_generator(PUBLISHED, jax.random.key(0)))
    fast = for_cpu(generator) if jax.default_backend() == "cpu" else generator
    frames = round(seconds * PUBLISHED.sample_rate / PUBLISHED.hop)
    rng = np.random.default_rng(0)
    codes = {"dict": rng.integers(0, 500, (1, frames)), "spkr": np.array([1]), "style": np.array([3])}
    x_BTD = generator.condition({name: jnp.asarray(code, jnp.int32) for name, code in codes.items()})
    stop_B = jnp.full(1, frames, jnp.int32)
    speak = jax.jit(lambda generator, x: generator(x, stop_B)).lower(fast, x_BTD).compile()
    reference = torch_generator(generator)
    x_torch = torch.from_numpy(np.array(x_BTD)).transpose(1, 2).contiguous()
    with torch.inference_mode():
        times, outputs = race([lambda: speak(fast, x_BTD).block_until_ready(), lambda: reference(x_torch)], rounds)
    difference = np.abs(np.asarray(outputs[0]) - outputs[1].numpy()).max()
    return {"jax": seconds / times[0], "pytorch": seconds / times[1], "ratio": times[1] / times[0], "largest_difference": float(difference)}


def race(runs: list[Callable], rounds: int) -> tuple[list[float], list]:
    """Best wall time of each, alternating, after one warm-up; and what each returned."""
    outputs = [run() for run in runs]
    times = [[] for _ in runs]
    for _ in range(rounds):
        for run, spent in zip(runs, times):
            start = time.perf_counter()
            run()
            spent.append(time.perf_counter() - start)
    return [min(spent) for spent in times], outputs


def torch_weights(conv: Conv | TransposedConv) -> tuple[torch.Tensor, torch.Tensor]:
    """Kernel [O, I, K] (transposed [I, O, K]) and bias."""
    axes = (1, 2, 0) if isinstance(conv, TransposedConv) else (2, 1, 0)
    return torch.from_numpy(np.array(conv.kernel_KIO[...]).transpose(axes).copy()), torch.from_numpy(np.array(conv.bias_O[...]))


def lively(generator: Generator) -> Generator:
    """Kernels rescaled to unit gain, so that the signal doesn't die on its way through random layers."""

    def rescale(node):
        if isinstance(node, Conv | TransposedConv):
            taps, inputs, _ = node.kernel_KIO.shape
            summed = taps * inputs / getattr(node, "stride", 1)
            node.kernel_KIO = param(node.kernel_KIO[...] / (INITIAL_SCALE * np.sqrt(summed)))
        return node

    return jax.tree.map(rescale, generator, is_leaf=lambda node: isinstance(node, Conv | TransposedConv))


def torch_generator(generator: Generator) -> Callable[[torch.Tensor], torch.Tensor]:
    """The same network with PyTorch's own convolutions, weight normalisation folded: [B, D, T] -> [B, samples]."""
    pre, post = torch_weights(generator.pre), torch_weights(generator.post)
    ups = [(*torch_weights(up), up.stride, up.padding) for up in generator.ups]
    stages = [[[[torch_weights(c) for c in path] for path in b.paths] for b in blocks] for blocks in generator.stages]
    dilations = [b.dilations for b in generator.stages[0]]

    def conv(x, pair, dilation=1):
        return F.conv1d(x, *pair, padding=dilation * (pair[0].shape[2] - 1) // 2, dilation=dilation)

    def residual(x, paths, steps):
        for path, dilation in zip(paths, steps):
            y = x
            for pair, step in zip(path, (dilation, 1)):
                y = conv(F.leaky_relu(y, SLOPE), pair, step)
            x = x + y
        return x

    def forward(x):
        x = conv(x, pre)
        for up, blocks in zip(ups, stages):
            x = F.conv_transpose1d(F.leaky_relu(x, SLOPE), up[0], up[1], stride=up[2], padding=up[3])
            x = sum(residual(x, paths, steps) for paths, steps in zip(blocks, dilations)) / len(blocks)
        return torch.tanh(conv(F.leaky_relu(x, LAST_SLOPE), post))[:, 0]

    return forward


def main() -> None:
    """Prints one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    figures = time_generator(args.seconds, args.rounds)
    print(
        f"HiFi-GAN {args.seconds:g} s on {jax.devices()[0].platform}, {torch.get_num_threads()} PyTorch threads: "
        f"JAX {figures['jax']:.1f}x real time, PyTorch {figures['pytorch']:.1f}x, ratio {figures['ratio']:.2f}, "
        f"largest difference {figures['largest_difference']:.1e}"
    )


if __name__ == "__main__":
    main()
