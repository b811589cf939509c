"""The HiFi-GAN generator for unit, pitch and style codes, and its duration predictor (Kong et al. 2020;
Polyak et al. 2021; paper, section 3.3).

Legend: B rows, T frames of 25 Hz (or, further up, samples), D channels, N codes before they are repeated.

Past the end of a row every layer's input is zero, so that padding does not change a row.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json, require_folder
from spirit_jax.speech.kernels.convolution import TransposedConv, param
from spirit_jax.speech.kernels.product import product
from spirit_jax.speech.weights.readers import CheckpointReader, WeightReader, read_conv
from spirit_jax.speech.weights.torch_files import Tensors, read_pickle, require_keys
from spirit_jax.tokens.streams import UNITS

SLOPE, LAST_SLOPE = 0.1, 0.01  # of LeakyReLU; the last before conv_post differs in the published models
NORM_EPS = 1e-5
CONFIG, WEIGHTS = "config.json", "generator.pt"
TABLES = {
    UNITS: "dict",
    "pitch": "f0_dict",
    "style": "style_dict",
}  # the checkpoint's embedding of each stream


@dataclasses.dataclass(frozen=True)
class GeneratorConfig:
    """Sizes. A count of 0 means that the generator has no such embedding. Hops are in samples; `units` has
    one row for each code.
    """

    rates: tuple[int, ...]
    rate_kernels: tuple[int, ...]
    channels: int  # before the first upsampling; halved by each
    block_kind: int  # 1: pairs of a dilated and a plain convolution; 2: dilated ones only
    block_kernels: tuple[int, ...]
    block_dilations: tuple[tuple[int, ...], ...]
    units: int
    width: int  # of each embedding
    hop: int
    sample_rate: int = 16000
    pitches: int = 0
    pitch_hop: int = 1280
    styles: int = 0
    style_hop: int = 16000
    speakers: int = 0
    style_ids: int = 0
    duration_width: int = 0  # 0: no duration predictor
    duration_taps: int = 3

    def __post_init__(self):
        dilations = tuple(itertools.chain.from_iterable(self.block_dilations))
        times = (*self.rates, *self.rate_kernels, *self.block_kernels, *dilations)
        whole = all(isinstance(size, int) and size > 0 for size in times)
        _require(whole, "rates, kernels and dilations", times, "must be whole numbers from 1 on")
        counts = len(self.rates), len(self.block_kernels)
        _require(min(counts) > 0, "counts of rates and block kernels", counts, "must be one at least")
        paired = len(self.rate_kernels), len(self.block_dilations)
        _require(paired == counts, "counts of rate kernels and block dilations", paired, f"must be {counts}")
        _require(self.block_kind in (1, 2), "resblock", self.block_kind, "must be 1 or 2")
        long = all(taps >= rate for rate, taps in zip(self.rates, self.rate_kernels))
        rule = f"must be no shorter than their rates, {self.rates}"
        _require(long, "rate kernels", self.rate_kernels, rule)
        odd = all(taps % 2 for taps in self.block_kernels)
        _require(odd, "block kernels", self.block_kernels, "must be odd, to keep a block's length")
        odd = self.duration_width == 0 or self.duration_taps % 2 == 1
        rule = "must be odd, for a duration of each code"
        _require(odd, "var_pred_kernel_size", self.duration_taps, rule)
        halves = self.channels % 2 ** len(self.rates) == 0
        _require(halves, "channels", self.channels, f"must halve {len(self.rates)} times")

    @property
    def tables(self) -> dict[str, int]:
        """The number of rows of each embedding, by the checkpoint's names, in the order in which they are
        concatenated.
        """
        rows = {
            "dict": self.units,
            "f0_dict": self.pitches,
            "style_dict": self.styles,
            "spkr": self.speakers,
            "style": self.style_ids,
        }
        return {name: count for name, count in rows.items() if count}

    @property
    def streams(self) -> dict[str, tuple[int, int]]:
        """Number of codes and samples per code of each stream that the generator takes, by the
        stream's name.
        """
        sizes = {
            UNITS: (self.units, self.hop),
            "pitch": (self.pitches, self.pitch_hop),
            "style": (self.styles, self.style_hop),
        }
        return {name: (size, hop) for name, (size, hop) in sizes.items() if size}

    @property
    def reach(self) -> int:
        """Frames on either side that a sample depends on."""
        frames, per_frame = 3.0, 1
        for rate, taps in zip(self.rates, self.rate_kernels):
            frames += -(-taps // rate) / per_frame
            per_frame *= rate
            plain = 1 if self.block_kind == 1 else 0
            frames += (
                max(
                    (k - 1) // 2 * sum(d + plain for d in steps)
                    for k, steps in zip(self.block_kernels, self.block_dilations)
                )
                / per_frame
            )
        return math.ceil(frames + 3 / per_frame)

    def samples(self, frames: int) -> int:
        """Samples of that many frames: the product of the rates for each frame, and more if a kernel is
        longer than its rate by an odd number.
        """
        for rate, taps in zip(self.rates, self.rate_kernels):
            frames = frames * rate + (taps - rate) % 2
        return frames

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "GeneratorConfig":
        """Reads a published config.json; keys for training are ignored."""
        try:
            cfg = cls._read(values)
        except KeyError as error:
            raise UserError(
                "generator config.json key",
                error.args[0],
                "is absent",
                "use the config.json published with the weights",
            ) from error
        except (TypeError, AttributeError) as error:
            raise UserError(
                "generator config.json", error, "has a value of another kind", "use the published config.json"
            ) from error
        if values.get("model_in_dim", len(cfg.tables) * cfg.width) != len(cfg.tables) * cfg.width:
            rule = f"must be {len(cfg.tables)} embeddings ({', '.join(cfg.tables)}) of {cfg.width}"
            raise UserError(
                "generator model_in_dim",
                values["model_in_dim"],
                rule,
                "use the config.json published with the weights",
            )
        return cfg

    @classmethod
    def _read(cls, values: Mapping[str, Any]) -> "GeneratorConfig":
        duration = values.get("dur_predictor_params") or {}
        return cls(
            rates=tuple(values["upsample_rates"]),
            rate_kernels=tuple(values["upsample_kernel_sizes"]),
            channels=values["upsample_initial_channel"],
            block_kind=int(values.get("resblock", 1)),
            block_kernels=tuple(values["resblock_kernel_sizes"]),
            block_dilations=tuple(tuple(row) for row in values["resblock_dilation_sizes"]),
            units=values["num_embeddings"],
            width=values["embedding_dim"],
            hop=values["code_hop_size"],
            sample_rate=values.get("sampling_rate", 16000),
            pitches=values.get("num_f0_tokens") or 0,
            pitch_hop=values.get("f0_hop_size") or 1280,
            styles=values.get("num_style_tokens") or 0,
            style_hop=values.get("style_hop_size") or 16000,
            speakers=values["num_speakers"] if values.get("multispkr") else 0,
            style_ids=values["num_styles"] if values.get("multistyle") else 0,
            duration_width=duration.get("var_pred_hidden_dim", 0),
            duration_taps=duration.get("var_pred_kernel_size", 3),
        )


class DurationPredictor(nnx.Module):
    """Two convolutions with ReLU and layer norm, and a projection, from unit embeddings to log(1
    + frames).
    """

    def __init__(self, cfg: GeneratorConfig, reader: WeightReader):
        sizes = (cfg.width, cfg.duration_width, cfg.duration_width)
        self.convs, self.scales, self.shifts = nnx.List(), nnx.List(), nnx.List()
        for i, (inputs, outputs) in enumerate(zip(sizes, sizes[1:]), 1):
            self.convs.append(
                read_conv(reader, f"dur_predictor.conv{i}.0", cfg.duration_taps, inputs, outputs)
            )
            self.scales.append(param(reader.array(f"dur_predictor.ln{i}.weight", (outputs,))))
            self.shifts.append(param(reader.array(f"dur_predictor.ln{i}.bias", (outputs,))))
        self.proj_D = param(reader.array("dur_predictor.proj.weight", (1, cfg.duration_width))[0])
        self.bias = param(reader.array("dur_predictor.proj.bias", (1,)))

    def __call__(self, x_BND: jax.Array, stop_B: jax.Array) -> jax.Array:
        """[B, N]."""
        keep = _keeper(x_BND.shape[1], stop_B)
        for conv, scale_D, shift_D in zip(self.convs, self.scales, self.shifts):
            x_BND = jax.nn.relu(conv(keep(x_BND)))
            centred = x_BND - x_BND.mean(axis=-1, keepdims=True)
            x_BND = centred * jax.lax.rsqrt(jnp.square(centred).mean(axis=-1, keepdims=True) + NORM_EPS)
            x_BND = x_BND * scale_D[...][None, None] + shift_D[...][None, None]
        return product(x_BND, self.proj_D[...][:, None])[..., 0] + self.bias[...][None]


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
        self.duration = DurationPredictor(cfg, reader) if cfg.duration_width else None

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
        keep = _keeper(x_BTD.shape[1], stop_B)
        x_BTD = self.pre(keep(x_BTD))
        for up, blocks in zip(self.ups, self.stages):
            x_BTD = up(keep(jax.nn.leaky_relu(x_BTD, SLOPE)))
            stop_B = up.length(stop_B)
            keep = _keeper(x_BTD.shape[1], stop_B)
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


def _require(holds: bool, what: str, value: Any, rule: str) -> None:
    if not holds:
        raise UserError(f"generator {what}", value, rule, "correct its config.json")


def _keeper(length: int, stop_B: jax.Array):
    """A function that zeroes [B, T, D] past each row's own end."""
    inside_BT1 = (jnp.arange(length)[None] < stop_B[:, None])[..., None]
    return lambda x_BTD: jnp.where(inside_BT1, x_BTD, 0)
