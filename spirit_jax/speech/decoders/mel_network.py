"""A small network from codes to log-mel frames, voicing and F0, which trains in minutes on a CPU.

Legend: B rows, T units, N units before they are repeated, F frames (10 ms), R frames of a unit, D channels,
M mel bands, S speakers.

Past the end of a row every layer's input is zero, so that padding does not change a row.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from spirit_jax.core.batching import lengths_of, round_up_length, stack
from spirit_jax.core.errors import UserError
from spirit_jax.speech.decoders.durations import SHORTEST, DurationPredictor, keeper
from spirit_jax.speech.encoders import mfcc
from spirit_jax.speech.encoders.style.pooled import REFERENCE_HZ
from spirit_jax.speech.kernels.convolution import param
from spirit_jax.speech.weights.readers import WeightReader, read_conv
from spirit_jax.tokens.streams import SAMPLE_RATE, UNITS, Stream, Streams

SPEAKER = "speaker"  # the table of voices, beside one for each stream


@dataclasses.dataclass(frozen=True)
class MelNetworkConfig:
    """Sizes. streams: the codec's table; each has an embedding. spoken: units that have a sound; those from
    here on are blanks. speakers: 0 for no embedding of voices.
    """

    streams: Streams
    spoken: int
    speakers: int = 0
    width: int = 192
    blocks: int = 4  # residual convolutions at the rate of the units
    taps: int = 5
    fine_width: int = 96  # the same at the rate of the frames
    fine_blocks: int = 1
    duration_width: int = 64
    duration_taps: int = 3

    def __post_init__(self):
        hop = SAMPLE_RATE / self.streams[0].rate
        if not math.isclose(hop / mfcc.HOP, round(hop / mfcc.HOP), rel_tol=1e-9) or hop < mfcc.HOP:
            rule = f"must stand for a multiple of the {mfcc.HOP} samples of a frame"
            fix = "train a vocoder for this codec"
            raise UserError("mel network samples a unit", f"{hop:g}", rule, fix)

    @property
    def frames_per_unit(self) -> int:
        """R."""
        return round(SAMPLE_RATE / self.streams[0].rate / mfcc.HOP)

    @property
    def tables(self) -> dict[str, int]:
        """Rows of each embedding."""
        rows = {stream.name: stream.size for stream in self.streams}
        return rows | ({SPEAKER: self.speakers} if self.speakers else {})


class Frames(NamedTuple):
    """Log-mel as of `mfcc.log_mel`, float32 [..., F, M]; logits of voicing and log2 of F0 over REFERENCE_HZ,
    [..., F].
    """

    mel: jax.Array
    voicing: jax.Array
    octaves: jax.Array


class MelNetwork(nnx.Module):
    """The codes' embeddings, added, through residual convolutions at the units' rate, then at the frames'."""

    def __init__(self, cfg: MelNetworkConfig, reader: WeightReader):
        self.cfg = cfg
        self.tables = nnx.Dict(
            {
                name: param(reader.array(f"{name}.weight", (rows, cfg.width)))
                for name, rows in cfg.tables.items()
            }
        )
        self.blocks = nnx.List(
            read_conv(reader, f"blocks.{i}", cfg.taps, cfg.width, cfg.width) for i in range(cfg.blocks)
        )
        self.spread = read_conv(reader, "spread", 1, cfg.width, cfg.frames_per_unit * cfg.fine_width)
        self.fine = nnx.List(
            read_conv(reader, f"fine.{i}", cfg.taps, cfg.fine_width, cfg.fine_width)
            for i in range(cfg.fine_blocks)
        )
        self.out = read_conv(reader, "out", 1, cfg.fine_width, mfcc.MELS + 2)
        self.duration = DurationPredictor(cfg.width, cfg.duration_width, cfg.duration_taps, reader)

    def log_durations(self, units_BN: jax.Array, stop_B: jax.Array) -> jax.Array:
        """log(1 + how many units each lasts), float32 [B, N]; of row b the first stop_B[b] count."""
        return self.duration(self._embed(UNITS, units_BN), stop_B)

    def __call__(self, codes: Mapping[str, jax.Array], stop_B: jax.Array) -> Frames:
        """Codes of each stream at the units' rate, int32 [B, T], and speakers [B], to frames [B, T R]; of
        row b only the first stop_B[b] units exist.
        """
        keep = keeper(codes[UNITS].shape[1], stop_B)
        x_BTD = sum((self._embed(name, codes[name]) for name in self.cfg.tables), start=jnp.float32(0))
        for conv in self.blocks:
            x_BTD = x_BTD + jax.nn.gelu(conv(keep(x_BTD)))
        rows, units = codes[UNITS].shape
        x_BFD = self.spread(keep(x_BTD)).reshape(rows, units * self.cfg.frames_per_unit, self.cfg.fine_width)
        keep = keeper(x_BFD.shape[1], stop_B * self.cfg.frames_per_unit)
        for conv in self.fine:
            x_BFD = x_BFD + jax.nn.gelu(conv(keep(x_BFD)))
        y_BFC = self.out(x_BFD)
        return Frames(y_BFC[..., : mfcc.MELS], y_BFC[..., -2], y_BFC[..., -1])

    def _embed(self, name: str, codes: jax.Array) -> jax.Array:
        """[B, T, D] of unit variance at the start; [B, 1, D] for one code a row."""
        x = self.tables[name][...][codes] * math.sqrt(self.cfg.width)
        return x if codes.ndim == 2 else x[:, None]


def align(streams: Streams, codes: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The code of every stream in force at each unit, int32 [T]; a stream that ends early holds its last."""
    units: Stream = streams[0]
    frames = np.arange(len(codes[UNITS]))
    return {
        stream.name: codes[stream.name][
            np.minimum((frames * stream.rate / units.rate + 1e-6).astype(int), len(codes[stream.name]) - 1)
        ]
        for stream in streams
    }


def predict_frames(network: MelNetwork, codes: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Log-mel, float32 [F, M], and F0 in Hz, 0 where unvoiced, [F], of one utterance's aligned codes."""
    units = len(codes[UNITS])
    size = max(SHORTEST, round_up_length(units))
    batch = {name: stack([values], size, 1) for name, values in codes.items()}
    frames = jax.device_get(_frames(network, batch, lengths_of([codes[UNITS]], 1)))
    mel_FM, voicing_F, octaves_F = (x[0, : units * network.cfg.frames_per_unit] for x in frames)
    return mel_FM, np.where(voicing_F > 0, REFERENCE_HZ * np.exp2(octaves_F), 0)


@jax.jit
def _frames(network: MelNetwork, codes: dict[str, jax.Array], stop_B: jax.Array) -> Frames:
    return network(codes, stop_B)
