"""Small encoders with random weights."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

from spirit_jax.core.files import write_json
from spirit_jax.speech.encoders.wav2vec2.config import ConvNorm, ConvShape, Wav2Vec2Config
from spirit_jax.speech.encoders.wav2vec2.network import Wav2Vec2
from spirit_jax.speech.weights.readers import CheckpointReader
from spirit_jax.speech.weights.torch_files import Tensors

CONVS = (ConvShape(8, 10, 5), ConvShape(8, 8, 8), ConvShape(12, 5, 4))
SLOW_CONVS = (ConvShape(6, 20, 16), ConvShape(6, 12, 10), ConvShape(6, 4, 4))  # 25 frames a second
TINY = Wav2Vec2Config(CONVS, width=16, mlp_width=24, heads=2, layers=3, position_taps=6, position_groups=4)
AT_25_HZ = dataclasses.replace(TINY, convs=SLOW_CONVS, layers=1)
PRE_NORM = Wav2Vec2Config(
    CONVS, width=12, mlp_width=20, heads=3, layers=2, position_taps=5, position_groups=2,
    conv_norm=ConvNorm.LAYER, conv_bias=True, project=False, pre_norm=True,
)  # fmt: skip
BATCH_NORM = dataclasses.replace(TINY, position_batch_norm=True)


class Varied:
    """Random weights without 0 or 1, so that every part matters; records what it returned."""

    def __init__(self, seed: int):
        self.rng, self.arrays, self.kernels = np.random.default_rng(seed), {}, {}

    def array(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        scale, mean = (
            (0.1, float(name.endswith("weight")))
            if len(shape) == 1
            else (1.5 / np.sqrt(np.prod(shape[1:])), 0)
        )
        return self.arrays.setdefault(name, self.rng.normal(mean, scale, shape).astype(np.float32))

    def kernel(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        return self.kernels.setdefault(
            name, self.rng.normal(0, 1.5 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)
        )

    def batch_norm(self, name: str, width: int) -> tuple[np.ndarray, np.ndarray]:
        moments = {"weight": (1, 0.1), "bias": (0, 0.5), "running_mean": (0.3, 0.5), "running_var": (0, 1)}
        for part, (mean, scale) in moments.items():
            values = self.rng.normal(mean, scale, width).astype(np.float32)
            self.arrays[f"{name}.{part}"] = np.exp(values) if part == "running_var" else values
        self.arrays[f"{name}.num_batches_tracked"] = np.array(7, np.int64)
        return CheckpointReader(Tensors("varied", self.arrays)).batch_norm(name, width)


def random_encoder(cfg: Wav2Vec2Config = TINY, seed: int = 0) -> Wav2Vec2:
    return Wav2Vec2(Varied(seed), cfg)


def store_encoder(folder: Path, cfg: Wav2Vec2Config, seed: int = 0) -> Path:
    """A Hugging Face folder of `random_encoder(cfg, seed)`, its weights by fairseq's names."""
    given = Varied(seed)
    Wav2Vec2(given, cfg)
    folder.mkdir()
    save_file(
        {**given.arrays, **{f"{name}.weight": kernel for name, kernel in given.kernels.items()}},
        folder / "model.safetensors",
    )
    sizes = {
        "hidden_size": cfg.width,
        "intermediate_size": cfg.mlp_width,
        "num_attention_heads": cfg.heads,
        "num_hidden_layers": cfg.layers,
    }
    positions = {
        "num_conv_pos_embeddings": cfg.position_taps,
        "num_conv_pos_embedding_groups": cfg.position_groups,
        "conv_pos_batch_norm": cfg.position_batch_norm,
    }
    channels, taps, strides = zip(*((conv.channels, conv.taps, conv.stride) for conv in cfg.convs))
    write_json(
        folder / "config.json",
        {**sizes, **positions, "conv_dim": channels, "conv_kernel": taps, "conv_stride": strides},
    )
    write_json(folder / "preprocessor_config.json", {"do_normalize": False})
    return folder


def random_wavs(*lengths: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 0.1, length).astype(np.float32) for length in lengths]


def noisy_rows(cfg: Wav2Vec2Config, *lengths: int) -> tuple[jax.Array, jax.Array]:
    """Wavs [B, S] two tiles long, padded with noise, which must not matter, and their lengths [B]."""
    size = cfg.most_samples(2 * cfg.tile)
    padding = random_wavs(*(size - length for length in lengths), seed=1)
    return jnp.stack([jnp.concatenate(parts) for parts in zip(random_wavs(*lengths), padding)]), jnp.array(
        lengths
    )


def own_frames(cfg: Wav2Vec2Config, states_BTD: jax.Array, lengths: tuple[int, ...]) -> np.ndarray:
    """The frames that are not padding, row after row."""
    return np.concatenate(
        [np.asarray(states_BTD[row, : cfg.frame_count(length)]) for row, length in enumerate(lengths)]
    )
