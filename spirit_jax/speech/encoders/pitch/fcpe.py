"""FCPE, a trained F0 tracker: log-mel, six convolutional layers, 360 pitch bins, decoded around the best bin
(torchfcpe 0.0.4, MIT).

Reads the weights inside the `torchfcpe` wheel (`pip download torchfcpe --no-deps`) without importing it. The
data of the published language model was made with it: 50 to 1100 Hz, threshold 0.05 (paper; observed in
Meta's release).

Legend: B rows, S samples, T frames of 10 ms, W samples of a window, M mel bands, D width, H inner width, Q
pitch bins, G groups of channels.
"""

import dataclasses
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import librosa
import numpy as np
from flax import nnx

from spirit_jax.core.batching import Bucket, buckets, lengths_of, stack
from spirit_jax.core.device_rows import Calls, Memory
from spirit_jax.core.errors import UserError
from spirit_jax.core.foreign_config import ForeignConfig
from spirit_jax.speech.kernels.convolution import param
from spirit_jax.speech.kernels.depthwise_convolution import depthwise
from spirit_jax.speech.kernels.product import product
from spirit_jax.speech.weights.readers import CheckpointReader, WeightReader, read_conv
from spirit_jax.speech.weights.torch_files import Tensors, read_pickle, require_keys

F0_MIN, F0_MAX, THRESHOLD = 50.0, 1100.0, 0.05  # Hz, Hz, least confidence of a voiced frame
OUT_HOP = 80  # samples: 200 Hz
MAGNITUDE_FLOOR, MEL_FLOOR = 1e-9, 1e-5
TAPS, GROUPS, EPS = 3, 4, 1e-5
DEPTH_TAPS, EXPANSION = 31, 2
REACH = 4  # bins on either side of the best over which F0 is averaged
CENT_HZ = 10.0  # 0 cents
SHORTEST = 128  # frames of a compiled call
ASSETS = "torchfcpe/assets/"
# keys of config_dict of which these values are implemented, absent means the first; keys without influence
MODEL_FIXED = {"type": ("CFNaiveMelPE",), "use_harmonic_emb": (False, None)}
MODEL_KEYS = {
    "training": ("residual_dropout", "attention_dropout", "conv_dropout", "atten_dropout"),
    "attention, which conv_only excludes": ("n_heads", "use_fa_norm"),
    "the range of the bins, which the weights hold as cent_table": ("f0_min", "f0_max"),
}
CONFIG_KEYS = {"training": ("data", "loss", "device", "env", "train")}

memory = Memory("F0 network", "frames")


@dataclasses.dataclass(frozen=True)
class FcpeConfig:
    """Sizes; `mels`, `n_fft`, `hop` in bands and samples at `sample_rate`."""

    sample_rate: int
    n_fft: int
    hop: int
    mels: int
    mel_min: float
    mel_max: float
    width: int
    layers: int
    bins: int

    @classmethod
    def from_checkpoint(cls, values: Mapping[str, Any]) -> "FcpeConfig":
        """Reads the checkpoint's `config_dict`. UserError for a key that is neither read nor known to have no
        influence.
        """
        config = ForeignConfig("FCPE config_dict", values)
        try:
            mel, model = config.part("mel"), config.part("model")
            model.require(MODEL_FIXED)
            if not model["conv_only"] or mel["win_size"] != mel["n_fft"]:
                raise UserError(
                    "FCPE model",
                    dict(model),
                    "must be convolutional, its window as long as its FFT",
                    "use the weights of torchfcpe 0.0.4",
                )
            sizes = mel["sr"], mel["n_fft"], mel["hop_size"], mel["num_mels"], mel["fmin"], mel["fmax"]
            cfg = cls(*sizes, model["hidden_dims"], model["n_layers"], model["out_dims"])
        except (KeyError, TypeError) as error:
            raise UserError(
                "FCPE config_dict", str(error), "lacks this", "use the weights of torchfcpe 0.0.4"
            ) from error
        for part, keys in ((config, CONFIG_KEYS), (mel, {}), (model, MODEL_KEYS)):
            part.finish(keys)
        return cfg

    def frames(self, samples: int) -> int:
        """Frames of a wav."""
        return samples // self.hop + 1


class Norm(nnx.Module):
    """Layer norm over the last axis."""

    def __init__(self, reader: WeightReader, name: str, width: int):
        self.scale_D, self.shift_D = (
            param(reader.array(f"{name}.{part}", (width,))) for part in ("weight", "bias")
        )

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        """The same shape."""
        centred = x_BTD - x_BTD.mean(axis=-1, keepdims=True)
        y_BTD = centred * jax.lax.rsqrt(jnp.square(centred).mean(axis=-1, keepdims=True) + EPS)
        return y_BTD * self.scale_D[...][None, None] + self.shift_D[...][None, None]


class Layer(nnx.Module):
    """Norm, gated expansion, a long depthwise convolution, contraction; added to the
    input.
    """

    def __init__(self, reader: WeightReader, name: str, width: int):
        inner = EXPANSION * width
        self.norm = Norm(reader, f"{name}.0", width)
        self.expand = read_conv(reader, f"{name}.2", 1, width, 2 * inner)
        self.kernel_KH = param(reader.array(f"{name}.4.conv.weight", (inner, 1, DEPTH_TAPS))[:, 0].T)
        self.bias_H = param(reader.array(f"{name}.4.conv.bias", (inner,)))
        self.contract = read_conv(reader, f"{name}.6", 1, inner, width)

    def __call__(self, x_BTD: jax.Array, inside_BT1: jax.Array) -> jax.Array:
        """The same shape."""
        y_BTH, gate_BTH = jnp.split(self.expand(self.norm(x_BTD)), 2, axis=-1)
        y_BTH = jnp.where(inside_BT1, y_BTH * jax.nn.sigmoid(gate_BTH), 0)
        y_BTH = jax.nn.silu(depthwise(y_BTH, self.kernel_KH[...]) + self.bias_H[...][None, None])
        return x_BTD + self.contract(y_BTH)


class Fcpe(nnx.Module):
    """The network, the mel filters and the bins' pitches."""

    def __init__(self, cfg: FcpeConfig, reader: WeightReader):
        self.cfg = cfg
        mel_MF = librosa.filters.mel(
            sr=cfg.sample_rate,
            n_fft=cfg.n_fft,
            n_mels=cfg.mels,
            fmin=cfg.mel_min,
            fmax=cfg.mel_max,
            dtype=np.float64,
        )
        self.mel_FM = param(mel_MF.T)
        self.first = read_conv(reader, "input_stack.0", TAPS, cfg.mels, cfg.width)
        self.group_scale_D, self.group_shift_D = (
            param(reader.array(f"input_stack.1.{part}", (cfg.width,))) for part in ("weight", "bias")
        )
        self.second = read_conv(reader, "input_stack.3", TAPS, cfg.width, cfg.width)
        self.layers = nnx.List(
            Layer(reader, f"net.encoder_layers.{i}.conformer.net", cfg.width) for i in range(cfg.layers)
        )
        self.norm = Norm(reader, "norm", cfg.width)
        self.out_DQ = param(reader.kernel("output_proj", (cfg.bins, cfg.width)).T)
        self.bias_Q = param(reader.array("output_proj.bias", (cfg.bins,)))
        self.cents_Q = param(reader.array("cent_table", (cfg.bins,)))

    def log_mel(self, wav_BS: jax.Array, count_B: jax.Array) -> jax.Array:
        """[B, T, M] of padded wavs (see `pad_wav`); of row b the first count_B[b] samples exist. The last
        frame repeats the one before.
        """
        frames = (wav_BS.shape[1] - self.cfg.n_fft) // self.cfg.hop + 1
        at_TW = np.arange(frames)[:, None] * self.cfg.hop + np.arange(self.cfg.n_fft)[None]
        window_W = np.asarray(
            0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.cfg.n_fft) / self.cfg.n_fft), np.float32
        )
        spectrum_BTF = jnp.fft.rfft(wav_BS[:, at_TW] * window_W[None, None])
        magnitude_BTF = jnp.sqrt(
            jnp.square(spectrum_BTF.real) + jnp.square(spectrum_BTF.imag) + MAGNITUDE_FLOOR
        )
        mel_BTM = product(magnitude_BTF, self.mel_FM[...])
        whole_B = (count_B - self.cfg.n_fft) // self.cfg.hop + 1
        from_BT = jnp.minimum(jnp.arange(frames)[None], whole_B[:, None] - 1)
        return jnp.take_along_axis(jnp.log(jnp.maximum(mel_BTM, MEL_FLOOR)), from_BT[..., None], axis=1)

    def __call__(self, mel_BTM: jax.Array, count_B: jax.Array) -> jax.Array:
        """The bins' confidences in 0 to 1, [B, T, Q]; of row b the first count_B[b] frames exist."""
        inside_BT1 = (jnp.arange(mel_BTM.shape[1])[None] < count_B[:, None])[..., None]
        x_BTD = self._group_norm(self.first(jnp.where(inside_BT1, mel_BTM, 0)), inside_BT1)
        x_BTD = self.second(jnp.where(inside_BT1, jax.nn.leaky_relu(x_BTD, 0.01), 0))
        for layer in self.layers:
            x_BTD = layer(x_BTD, inside_BT1)
        logits_BTQ = product(self.norm(x_BTD), self.out_DQ[...])
        return jax.nn.sigmoid(logits_BTQ + self.bias_Q[...][None, None])

    def _group_norm(self, x_BTD: jax.Array, inside_BT1: jax.Array) -> jax.Array:
        """Over a group's channels and all frames that exist, so F0 depends on the whole wav."""
        x_BTGD = x_BTD.reshape(*x_BTD.shape[:2], GROUPS, -1)
        inside_BT11 = inside_BT1[..., None]
        count_B111 = jnp.maximum(1, inside_BT11.sum(axis=1, keepdims=True)).astype(x_BTD.dtype) * float(
            x_BTGD.shape[-1]
        )

        def mean(x: jax.Array) -> jax.Array:
            return jnp.where(inside_BT11, x, 0).sum(axis=(1, 3), keepdims=True) / count_B111

        centred = x_BTGD - mean(x_BTGD)
        y_BTD = (centred * jax.lax.rsqrt(mean(jnp.square(centred)) + EPS)).reshape(x_BTD.shape)
        return y_BTD * self.group_scale_D[...][None, None] + self.group_shift_D[...][None, None]

    def decode(self, confidence_BTQ: jax.Array) -> jax.Array:
        """F0 in Hz, [B, T]: 0 where the best bin is not above `THRESHOLD`, else the mean F0 of the bins
        around it, weighted by confidence.
        """
        best_BT1 = jnp.argmax(confidence_BTQ, axis=-1, keepdims=True)
        around_BTN = jnp.clip(best_BT1 + jnp.arange(-REACH, REACH + 1)[None, None], 0, self.cfg.bins - 1)
        weight_BTN = jnp.take_along_axis(confidence_BTQ, around_BTN, axis=-1)
        cents_BT = (self.cents_Q[...][around_BTN] * weight_BTN).sum(axis=-1) / weight_BTN.sum(axis=-1)
        return jnp.where(confidence_BTQ.max(axis=-1) > THRESHOLD, CENT_HZ * jnp.exp2(cents_BT / 1200), 0)


def load_fcpe(path: str | Path) -> Fcpe:
    """The network of torchfcpe: from its wheel, its installed folder, or the .pt file itself. UserError for
    wrong weights.
    """
    content = _read(Path(path))
    require_keys(content, path, ["model", "config_dict"])
    cfg = FcpeConfig.from_checkpoint(content["config_dict"])
    tensors = Tensors(path, content["model"])
    model = Fcpe(cfg, CheckpointReader(tensors))
    tensors.ignore("gaussian_blurred_cent_mask")  # training only
    for i in range(cfg.layers):
        tensors.ignore(f"net.encoder_layers.{i}.norm.")  # of attention, which this model does not use
    tensors.finish()
    return model


def track_f0(
    model: Fcpe, wavs: Sequence[np.ndarray], fill: bool = True
) -> list[tuple[np.ndarray, np.ndarray]]:
    """F0 in Hz and voicing (0 or 1), float32 [len // 80 + 1] at 200 Hz, of each float32 wav at 16 kHz, not
    normalised.

    `fill` puts unvoiced frames on a line between their voiced neighbours, and holds the ends. A wav without a
    voiced frame gives 0 Hz, unvoiced.
    """
    return [finish(f0_T, len(wav) // OUT_HOP + 1, fill) for f0_T, wav in zip(raw_f0(model, wavs), wavs)]


def raw_f0(model: Fcpe, wavs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """F0 in Hz at 100 Hz, 0 where the network is not confident: float32 [len // hop + 1] for each wav."""
    padded = [pad_wav(np.asarray(wav, np.float32), model.cfg) for wav in wavs]
    f0 = [np.zeros(0, np.float32)] * len(wavs)
    frames = [model.cfg.frames(len(wav)) for wav in wavs]

    def run(call: Bucket) -> jax.Array:
        rows = [padded[i] for i in call.indices]
        counts_B = stack([np.array(frames[i], np.int32) for i in call.indices], 0, call.rows)
        wav_BS = stack(rows, (call.size - 1) * model.cfg.hop + model.cfg.n_fft, call.rows)
        return _f0(model, wav_BS, lengths_of(rows, call.rows), counts_B)

    calls = buckets(frames, SHORTEST, most=memory.most_rows)
    for call, f0_BT in Calls(run, memory).results(calls):
        for i, row_T in zip(call.indices, f0_BT):
            f0[i] = row_T[: frames[i]]
    return f0


def pad_wav(wav_S: np.ndarray, cfg: FcpeConfig) -> np.ndarray:
    """The wav with half a window more on either side, mirrored, or zeros where it is too short for that; at
    least one window.
    """
    left = (cfg.n_fft - cfg.hop) // 2
    right = max(left, cfg.n_fft - len(wav_S) - left)
    return np.pad(wav_S, (left, right), mode="reflect" if right < len(wav_S) else "constant")


def finish(f0_T: np.ndarray, count: int, fill: bool) -> tuple[np.ndarray, np.ndarray]:
    """The network's F0 as the VQ-VAE takes it: voicing (at least `F0_MIN`), filled, then limited to `F0_MAX`
    (observed in Meta's release), at `count` frames.
    """
    voiced_T = f0_T >= F0_MIN
    f0_T = f0_T if voiced_T.any() or not fill else np.zeros_like(f0_T)
    if fill and voiced_T.any():
        f0_T = np.interp(np.arange(len(f0_T)), np.flatnonzero(voiced_T), f0_T[voiced_T]).astype(np.float32)
    scale = np.float32(len(f0_T) / count)  # PyTorch's nearest neighbour, in float32
    nearest = np.minimum(np.floor(np.arange(count, dtype=np.float32) * scale).astype(np.int64), len(f0_T) - 1)
    return np.minimum(f0_T, np.float32(F0_MAX))[nearest], voiced_T[nearest].astype(np.float32)


@jax.jit
def _f0(model: Fcpe, wav_BS: jax.Array, samples_B: jax.Array, frames_B: jax.Array) -> jax.Array:
    return model.decode(model(model.log_mel(wav_BS, samples_B), frames_B))


def _read(path: Path) -> Any:
    """The checkpoint's content."""
    if path.suffix in (".whl", ".zip") and path.is_file():
        if not zipfile.is_zipfile(path):
            raise UserError("FCPE wheel", path, "is no zip file", "pip download torchfcpe==0.0.4 --no-deps")
        with zipfile.ZipFile(path) as wheel, tempfile.TemporaryDirectory() as folder:
            names = [name for name in wheel.namelist() if name.startswith(ASSETS) and name.endswith(".pt")]
            if len(names) != 1:
                raise UserError(
                    "FCPE wheel",
                    path,
                    f"must hold one .pt file in {ASSETS}, not {len(names)}",
                    "pip download torchfcpe==0.0.4 --no-deps",
                )
            return read_pickle(wheel.extract(names[0], folder))
    if path.is_dir():
        files = sorted([*path.glob("*.pt"), *path.glob("assets/*.pt"), *path.glob(f"{ASSETS}*.pt")])
        if len(files) != 1:
            raise UserError(
                "FCPE folder",
                path,
                f"must hold one .pt file, itself or in {ASSETS}, not {len(files)}",
                "pass the file itself",
            )
        return read_pickle(files[0])
    return read_pickle(path)
