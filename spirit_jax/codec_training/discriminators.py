"""The discriminators of HiFi-GAN (Kong et al. 2020): one for the wave folded at each of several periods, and
one for the wave at each of several rates.

Legend: B rows, T samples, P samples of a period, D channels, I inputs, O outputs, G groups, K taps.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from spirit_jax.codec_training.config import DiscriminatorSizes
from spirit_jax.speech.kernels.convolution import param
from spirit_jax.speech.weights.readers import RandomReader

SLOPE = 0.1  # of LeakyReLU
PERIOD_TAPS, PERIOD_STRIDE, LAST_TAPS = 5, 3, 3
POOLED = 4  # samples of the average that halves a rate


class StridedConv(nnx.Module):
    """A convolution with bias, stride and groups over the last axis but one of [B, T, I], centred."""

    def __init__(
        self, reader: RandomReader, inputs: int, outputs: int, taps: int, stride: int = 1, groups: int = 1
    ):
        self.stride, self.groups = stride, groups
        self.kernel_KIO = param(reader.kernel("kernel", (outputs, inputs // groups, taps)).transpose(2, 1, 0))
        self.bias_O = param(reader.array("bias", (outputs,)))

    def __call__(self, x_BTI: jax.Array) -> jax.Array:
        """[B, T / stride, O]."""
        reach = self.kernel_KIO.shape[0] // 2
        y_BHTO = jax.lax.conv_general_dilated(
            x_BTI[:, None],
            self.kernel_KIO[...][None],
            (1, self.stride),
            ((0, 0), (reach, reach)),
            feature_group_count=self.groups,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return y_BHTO[:, 0] + self.bias_O[...][None, None]


class Discriminator(nnx.Module):
    """Convolutions with LeakyReLU between, and a last one to a single channel."""

    def __init__(self, reader: RandomReader, layers: list[tuple[int, int, int, int]]):
        """`layers`: (channels, taps, stride, groups) of each convolution."""
        inputs = [1, *(layer[0] for layer in layers)]
        self.convs = nnx.List(StridedConv(reader, before, *layer) for before, layer in zip(inputs, layers))
        self.last = StridedConv(reader, inputs[-1], 1, LAST_TAPS)

    def __call__(self, x_BT1: jax.Array) -> list[jax.Array]:
        """The output of each layer; the last is the discriminator's."""
        outputs = []
        for conv in self.convs:
            x_BT1 = jax.nn.leaky_relu(conv(x_BT1), SLOPE)
            outputs.append(x_BT1)
        return [*outputs, self.last(x_BT1)]


class Discriminators(nnx.Module):
    """Discriminators by period and by rate, without weight or spectral normalisation: our choice."""

    def __init__(self, sizes: DiscriminatorSizes, key: jax.Array):
        reader = RandomReader(key)
        strides = [PERIOD_STRIDE] * (len(sizes.period_channels) - 1) + [1]
        by_period = [
            (channels, PERIOD_TAPS, stride, 1) for channels, stride in zip(sizes.period_channels, strides)
        ]
        self.periods = sizes.periods
        self.by_period = nnx.List(Discriminator(reader, by_period) for _ in sizes.periods)
        self.by_rate = nnx.List(Discriminator(reader, [*sizes.scale_layers]) for _ in range(sizes.scales))

    def __call__(self, wav_BT: jax.Array) -> list[list[jax.Array]]:
        """For each discriminator the outputs of its layers."""
        outputs = [by_period(fold(wav_BT, period)) for by_period, period in zip(self.by_period, self.periods)]
        for by_rate in self.by_rate:
            outputs.append(by_rate(wav_BT[..., None]))
            wav_BT = halve(wav_BT)
        return outputs


def fold(wav_BT: jax.Array, period: int) -> jax.Array:
    """One row for each phase of the period, the wave reflected at its end to whole periods: [B P,
    T / P, 1].
    """
    rows, time = wav_BT.shape
    wav_BT = jnp.pad(wav_BT, ((0, 0), (0, -time % period)), mode="reflect")
    return wav_BT.reshape(rows, -1, period).swapaxes(1, 2).reshape(rows * period, -1, 1)


def halve(wav_BT: jax.Array) -> jax.Array:
    """Half the rate, each sample the mean of four, zeros outside: [B, T / 2 + 1]."""
    window, stride = (1, POOLED), (1, 2)
    return jax.lax.reduce_window(wav_BT, 0.0, jax.lax.add, window, stride, ((0, 0), (2, 2))) / POOLED
