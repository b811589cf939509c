"""Pitch codes: a VQ-VAE over F0 and voicing at 200 Hz, one code for 16 frames (paper, section 3.3; van den
Oord et al. 2017; Dhariwal et al. 2020).

Legend: B rows, F frames, N codes, C feature channels, D width of a code, K codes of the codebook.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import yaml
from flax import nnx

from spirit_jax.core.batching import Bucket, buckets, lengths_of, stack
from spirit_jax.core.device_rows import Calls, Memory
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_file, require_folder
from spirit_jax.speech.encoders.pitch.contour import subtract_mean
from spirit_jax.speech.encoders.pitch.vqvae_config import PitchConfig, StackConfig
from spirit_jax.speech.kernels.convolution import TransposedConv, param
from spirit_jax.speech.weights.readers import CheckpointReader, RandomReader, WeightReader, read_conv
from spirit_jax.speech.weights.torch_files import Tensors, read_pickle, require_keys

CONFIG, WEIGHTS = "config.yaml", "model.pt"
SHORTEST = 256  # codes of a compiled call
# of a compiled call, above it multiples of the last: padding costs this network less than compiling
FRAMES = (1024, 4096)

memory = Memory("pitch encoder", "frames")


class Residual(nnx.Module):
    """Blocks of ReLU, dilated convolution, ReLU and a 1-tap convolution, each added to its input."""

    def __init__(self, cfg: StackConfig, reader: WeightReader, name: str):
        self.dilations = tuple(cfg.dilation_growth**i for i in range(cfg.depth))
        narrow, wide = cfg.inner_width, cfg.hidden_width
        self.convs = nnx.List(
            read_conv(reader, f"{name}.model.{i}.model.1", 3, narrow, wide) for i in range(cfg.depth)
        )
        self.mixes = nnx.List(
            read_conv(reader, f"{name}.model.{i}.model.3", 1, wide, narrow) for i in range(cfg.depth)
        )

    def __call__(self, x_BFD: jax.Array, keep) -> jax.Array:
        """The same shape."""
        for conv, mix, dilation in zip(self.convs, self.mixes, self.dilations):
            x_BFD = x_BFD + mix(jax.nn.relu(conv(keep(jax.nn.relu(x_BFD)), dilation)))
        return x_BFD


class Encoder(nnx.Module):
    """Features to one vector for `stride ** downs` frames."""

    def __init__(self, cfg: StackConfig, channels: int, reader: WeightReader):
        name, taps = "encoder.level_blocks.0.model", 2 * cfg.stride
        self.stride = cfg.stride
        widths = (channels, *[cfg.inner_width] * cfg.downs)
        self.downs = nnx.List(
            read_conv(reader, f"{name}.{i}.0", taps, a, b) for i, (a, b) in enumerate(zip(widths, widths[1:]))
        )
        self.blocks = nnx.List(Residual(cfg, reader, f"{name}.{i}.1") for i in range(cfg.downs))
        self.out = read_conv(reader, f"{name}.{cfg.downs}", 3, cfg.inner_width, cfg.width)

    def length(self, frames: int) -> int:
        """Codes of that many frames: one for each `stride ** downs`, of an odd one a code less where they
        divide evenly.
        """
        for _ in self.downs:
            frames = self._fewer(frames)
        return max(0, frames)

    def _fewer(self, frames: Any) -> Any:
        """Frames after one level; `frames` may be an array."""
        return (frames + 2 * (self.stride // 2) - 2 * self.stride) // self.stride + 1

    def __call__(self, x_BFC: jax.Array, count_B: jax.Array) -> jax.Array:
        """[B, N, D]; of row b the first count_B[b] frames exist."""
        for down, blocks in zip(self.downs, self.blocks):
            x_BFC = down(_keeper(count_B)(x_BFC), stride=self.stride, padding=self.stride // 2)
            count_B = self._fewer(count_B)
            x_BFC = blocks(x_BFC, _keeper(count_B))
        return self.out(_keeper(count_B)(x_BFC))


class Decoder(nnx.Module):
    """Code vectors to features."""

    def __init__(self, cfg: StackConfig, channels: int, reader: WeightReader):
        name, taps = "decoder.level_blocks.0.model", 2 * cfg.stride
        self.pre = read_conv(reader, f"{name}.0", 3, cfg.width, cfg.inner_width)
        self.blocks = nnx.List(Residual(cfg, reader, f"{name}.{i}.0") for i in range(1, cfg.downs + 1))
        self.ups = nnx.List()
        for i in range(1, cfg.downs + 1):
            width = cfg.inner_width if i < cfg.downs else cfg.width
            kernel_IOK = reader.kernel(f"{name}.{i}.1", (cfg.inner_width, width, taps))
            self.ups.append(
                TransposedConv(
                    kernel_IOK.transpose(2, 0, 1),
                    reader.array(f"{name}.{i}.1.bias", (width,)),
                    cfg.stride,
                    cfg.stride // 2,
                )
            )
        self.out = read_conv(reader, "decoder.out", 3, cfg.width, channels)

    def length(self, codes: int) -> int:
        """Frames of that many codes: `stride ** downs` for each, and more of an odd stride."""
        for up in self.ups:
            codes = up.length(codes)
        return codes

    def __call__(self, x_BND: jax.Array, count_B: jax.Array) -> jax.Array:
        """[B, F, C]; of row b the first count_B[b] codes exist."""
        x_BND = self.pre(_keeper(count_B)(x_BND))
        for blocks, up in zip(self.blocks, self.ups):
            keep = _keeper(count_B)
            x_BND = up(keep(blocks(x_BND, keep)))
            count_B = up.length(count_B)
        return self.out(_keeper(count_B)(x_BND))


class PitchVqVae(nnx.Module):
    """Encoder, codebook, decoder."""

    def __init__(self, cfg: PitchConfig, reader: WeightReader):
        self.cfg = cfg
        self.encoder = Encoder(cfg.encoder, len(cfg.features), reader)
        self.codebook_KD = param(reader.array("vq.level_blocks.0.k", (cfg.codes, cfg.encoder.width)))
        self.decoder = Decoder(cfg.decoder, len(cfg.features), reader)

    def nearest(self, x_BND: jax.Array) -> jax.Array:
        """The code nearest to each vector, int32 [B, N], the first of equals."""
        distance_BNK = jnp.square(x_BND[:, :, None] - self.codebook_KD[...][None, None]).sum(axis=-1)
        return jnp.argmin(distance_BNK, axis=-1).astype(jnp.int32)


def load_pitch_vqvae(folder: str | Path) -> PitchVqVae:
    """The VQ-VAE of a published folder (config.yaml, model.pt). UserError for a missing, unknown or misshapen
    weight.
    """
    folder = require_folder(folder, "pitch VQ-VAE folder")
    cfg = PitchConfig.from_yaml(_read_yaml(folder / CONFIG))
    content = read_pickle(folder / WEIGHTS)
    require_keys(content, folder / WEIGHTS, ["model"])
    require_keys(content["model"], f"{folder / WEIGHTS} model")
    tensors = Tensors(folder / WEIGHTS, content["model"])
    model = PitchVqVae(cfg, CheckpointReader(tensors))
    tensors.finish()
    return model


def init_pitch_vqvae(cfg: PitchConfig, key: jax.Array) -> PitchVqVae:
    """Random weights."""
    return PitchVqVae(cfg, RandomReader(key))


def features(
    cfg: PitchConfig, f0_F: np.ndarray, vuv_F: np.ndarray, speaker_mean: float | None = None
) -> np.ndarray:
    """The encoder's input, float32 [F, C], of F0 in Hz (unvoiced frames filled or 0, as `cfg.interpolated`
    says) and voicing 0 or 1.
    """
    f0_F, vuv_F = np.asarray(f0_F), np.asarray(vuv_F)
    if f0_F.shape != vuv_F.shape or f0_F.ndim != 1:
        raise UserError(
            "F0 and voicing",
            (f0_F.shape, vuv_F.shape),
            "must be two sequences of one length",
            "pass one utterance's track",
        )
    f0_F = subtract_mean(f0_F, vuv_F, speaker_mean) if cfg.mean_free else f0_F
    return np.stack([vuv_F if name == "vuv" else f0_F for name in cfg.features], axis=1).astype(np.float32)


def encode_f0(
    model: PitchVqVae, f0: np.ndarray, vuv: np.ndarray, speaker_mean: float | None = None
) -> np.ndarray:
    """Codes, int32 [encoder.length(F)], in the published one F // 16, of one utterance's F0 and voicing; see
    `features` and `encode_batch`.
    """
    return encode_batch(model, [features(model.cfg, f0, vuv, speaker_mean)])[0]


def encode_batch(model: PitchVqVae, features_FC: Sequence[np.ndarray]) -> list[np.ndarray]:
    """int32 [encoder.length(F)] for each array of features. Too few frames for a code give none."""
    codes = [np.zeros(0, np.int32)] * len(features_FC)

    def run(call: Bucket) -> jax.Array:
        rows = [features_FC[i] for i in call.indices]
        return _encode(model, stack(rows, call.size, call.rows), lengths_of(rows, call.rows))

    calls = buckets([len(x_FC) for x_FC in features_FC], FRAMES[0], _round_up, most=memory.most_rows)
    for call, codes_BN in Calls(run, memory).results(calls):
        for i, row_N in zip(call.indices, codes_BN):
            codes[i] = row_N[: model.encoder.length(len(features_FC[i]))]
    return codes


def decode_f0(model: PitchVqVae, codes: np.ndarray) -> np.ndarray:
    """The features that codes [N] stand for, float32 [decoder.length(N), C], the channels in the order of
    `cfg.features`.
    """
    codes = np.asarray(codes, np.int32)
    if codes.ndim != 1 or np.any((codes < 0) | (codes >= model.cfg.codes)):
        raise UserError(
            "pitch codes",
            codes.reshape(-1)[:8].tolist(),
            f"must be one sequence of 0 to {model.cfg.codes - 1}",
            "use this codebook's codes",
        )
    if not len(codes):
        return np.zeros((0, len(model.cfg.features)), np.float32)
    ((size, count, _),) = buckets([len(codes)], SHORTEST)
    return np.asarray(_decode(model, stack([codes], size, count), lengths_of([codes], count)))[
        0, : model.decoder.length(len(codes))
    ]


@jax.jit
def _encode(model: PitchVqVae, x_BFC: jax.Array, count_B: jax.Array) -> jax.Array:
    return model.nearest(model.encoder(x_BFC, count_B))


@jax.jit
def _decode(model: PitchVqVae, codes_BN: jax.Array, count_B: jax.Array) -> jax.Array:
    return model.decoder(model.codebook_KD[...][codes_BN], count_B)


def _round_up(frames: int) -> int:
    return next((length for length in FRAMES if length >= frames), -(-frames // FRAMES[-1]) * FRAMES[-1])


def _keeper(count_B: jax.Array):
    """A function that zeroes [B, F, D] past each row's own end."""
    return lambda x_BFD: jnp.where((jnp.arange(x_BFD.shape[1])[None] < count_B[:, None])[..., None], x_BFD, 0)


def _read_yaml(path: Path) -> Mapping[str, Any]:
    try:
        return yaml.safe_load(require_file(path, "pitch configuration").read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UserError(
            "pitch configuration", path, "must be plain YAML", "use the published file"
        ) from error
