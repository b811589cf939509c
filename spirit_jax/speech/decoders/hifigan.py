"""The HiFi-GAN generator for unit, pitch and style codes (Kong et al. 2020; Polyak et al. 2021; paper,
section 3.3).

Legend: B rows, T frames of 25 Hz (or, further up, samples), D channels, N codes before they are repeated.

Past the end of a row every layer's input is zero, so that padding does not change a row.
"""

import functools
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
from flax import nnx

from spirit_jax.core.files import read_json, require_folder
from spirit_jax.speech.decoders.durations import DurationPredictor, keeper
from spirit_jax.speech.decoders.hifigan_config import GeneratorConfig
from spirit_jax.speech.kernels.convolution import TransposedConv, param
from spirit_jax.speech.weights.readers import CheckpointReader, WeightReader, read_conv
from spirit_jax.speech.weights.torch_files import Tensors, read_pickle, require_keys

SLOPE, LAST_SLOPE = 0.1, 0.01  # of LeakyReLU; the last before conv_post differs in the published models
CONFIG, WEIGHTS = "config.json", "generator.pt"


class Block(nnx.Module):
    """Residual convolutions of growing dilation, of one kernel size."""

    def __init__(
        self,
        cfg: GeneratorConfig,
        reader: WeightReader,
        name: str,
        channels: int,
        taps: int,
        dilations: tuple[int, ...],
    ):
        self.dilations = dilations
        self.paths = (
            nnx.List()
        )  # each a list of one convolution, or of two of which the second is not dilated
        names = ("convs1", "convs2") if cfg.block_kind == 1 else ("convs",)
        for j in range(len(dilations)):
            self.paths.append(
                nnx.List(read_conv(reader, f"{name}.{part}.{j}", taps, channels, channels) for part in names)
            )

    def __call__(self, x_BTD: jax.Array, keep) -> jax.Array:
        """The same shape."""
        for convs, dilation in zip(self.paths, self.dilations):
            y_BTD = x_BTD
            for conv, step in zip(convs, (dilation, 1)):
                y_BTD = conv(keep(jax.nn.leaky_relu(y_BTD, SLOPE)), step)
            x_BTD = x_BTD + y_BTD
        return x_BTD


class Generator(nnx.Module):
    """Embeddings, upsampling stages of parallel residual blocks, and the duration predictor if the
    configuration has one.
    """

    def __init__(self, cfg: GeneratorConfig, reader: WeightReader):
        self.cfg = cfg
        self.tables = nnx.Dict(
            {
                name: param(reader.array(f"{name}.weight", (rows, cfg.width)))
                for name, rows in cfg.tables.items()
            }
        )
        self.pre = read_conv(reader, "conv_pre", 7, len(cfg.tables) * cfg.width, cfg.channels)
        self.ups, self.stages = nnx.List(), nnx.List()
        for i, (rate, taps) in enumerate(zip(cfg.rates, cfg.rate_kernels)):
            inputs, outputs = cfg.channels >> i, cfg.channels >> i + 1
            kernel_IOK = reader.kernel(f"ups.{i}", (inputs, outputs, taps))
            bias_O = reader.array(f"ups.{i}.bias", (outputs,))
            self.ups.append(TransposedConv(kernel_IOK.transpose(2, 0, 1), bias_O, rate, (taps - rate) // 2))
            first = i * len(cfg.block_kernels)
            kinds = enumerate(zip(cfg.block_kernels, cfg.block_dilations), first)
            self.stages.append(
                nnx.List(
                    Block(cfg, reader, f"resblocks.{n}", outputs, size, steps) for n, (size, steps) in kinds
                )
            )
        self.post = read_conv(reader, "conv_post", 7, cfg.channels >> len(cfg.rates), 1)
        self.duration = (
            DurationPredictor(cfg.width, cfg.duration_width, cfg.duration_taps, reader)
            if cfg.duration_width
            else None
        )

    def condition(self, codes: Mapping[str, jax.Array]) -> jax.Array:
        """[B, T, D]: the embeddings of `cfg.tables`, concatenated; codes are int32 [B, T], or [B] for a whole
        row.
        """
        columns = []
        for name in self.cfg.tables:
            x = self.tables[name][...][codes[name]]
            columns.append(
                x if x.ndim == 3 else jnp.broadcast_to(x[:, None], (*codes["dict"].shape, x.shape[-1]))
            )
        return jnp.concatenate(columns, axis=-1)

    def log_durations(self, units_BN: jax.Array, stop_B: jax.Array) -> jax.Array:
        """log(1 + frames) of each unit, float32 [B, N]; of row b the first stop_B[b] count."""
        assert self.duration is not None, "ask only a generator with a duration predictor"
        return self.duration(self.tables["dict"][...][units_BN], stop_B)

    def __call__(self, x_BTD: jax.Array, stop_B: jax.Array) -> jax.Array:
        """Condition to samples within -1 to 1, float32 [B, samples]; of row b only the first stop_B[b] frames
        exist.
        """
        keep = keeper(x_BTD.shape[1], stop_B)
        x_BTD = self.pre(keep(x_BTD))
        for up, blocks in zip(self.ups, self.stages):
            x_BTD = up(keep(jax.nn.leaky_relu(x_BTD, SLOPE)))
            stop_B = up.length(stop_B)
            keep = keeper(x_BTD.shape[1], stop_B)
            x_BTD = functools.reduce(jnp.add, [block(x_BTD, keep) for block in blocks]) / len(blocks)
        return jnp.tanh(self.post(keep(jax.nn.leaky_relu(x_BTD, LAST_SLOPE))))[..., 0]


def read_generator(folder: str | Path) -> Generator:
    """The generator of a published folder (config.json, generator.pt). UserError for a missing, unknown or
    misshapen weight.
    """
    folder = require_folder(folder, "vocoder folder")
    cfg = GeneratorConfig.from_json(read_json(folder / CONFIG))
    content = read_pickle(folder / WEIGHTS)
    require_keys(content, folder / WEIGHTS, ["generator"])
    require_keys(content["generator"], f"{folder / WEIGHTS} generator")
    tensors = Tensors(folder / WEIGHTS, content["generator"])
    generator = Generator(cfg, CheckpointReader(tensors))
    tensors.finish()
    return generator
