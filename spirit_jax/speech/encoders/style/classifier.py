"""Style codes at 1 Hz from a wav2vec 2.0 classifier, into which Meta's release distilled the paper's style
units.

Legend: S samples, T frames, D width, P projected width, N codes of a wav, V labels.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from spirit_jax.core.batching import map_blocks
from spirit_jax.core.errors import UserError
from spirit_jax.speech.audio import mix_down, normalize
from spirit_jax.speech.encoders.wav2vec2.batches import encode_wavs
from spirit_jax.speech.encoders.wav2vec2.checkpoints import HF_EPS, canonical, config_from_hf, load_encoder
from spirit_jax.speech.encoders.wav2vec2.config import Wav2Vec2Config
from spirit_jax.speech.encoders.wav2vec2.network import Linear, Wav2Vec2
from spirit_jax.speech.segments import Sounds
from spirit_jax.speech.weights.readers import CheckpointReader, WeightReader
from spirit_jax.speech.weights.torch_files import Tensors, read_folder
from spirit_jax.tokens.streams import SAMPLE_RATE, Stream, style_stream

FRAMES_PER_CODE = 50  # a second of 50 Hz frames
BLOCK = 32  # codes a call


class StyleHead(nnx.Module):
    """Frames -> projector -> mean over a second -> classifier."""

    def __init__(self, reader: WeightReader, width: int, projected: int, labels: int):
        self.projector = Linear(reader, ("projector",), width, projected)
        self.classifier = Linear(reader, ("classifier",), projected, labels)

    def __call__(self, pooled_ND: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Projected means [N, P] and logits [N, V] of each second's mean frame: the projector is affine, so
        it may come after the mean.
        """
        projected_1NP = self.projector(pooled_ND[None])
        return projected_1NP[0], self.classifier(projected_1NP)[0]


class StyleEncoder(nnx.Module):
    """The encoder and its head."""

    def __init__(self, encoder: Wav2Vec2, head: StyleHead):
        self.encoder, self.head = encoder, head

    @property
    def style_count(self) -> int:
        """Number of codes."""
        return self.head.classifier.bias_O.shape[0]

    @property
    def rate(self) -> float:
        """Codes per second."""
        return SAMPLE_RATE / self.encoder.cfg.hop / FRAMES_PER_CODE


@dataclasses.dataclass(frozen=True)
class ClassifierStyle:
    """A stream encoder of style codes."""

    style: StyleEncoder

    @property
    def stream(self) -> Stream:
        """The style codes."""
        return style_stream(self.style.style_count, self.style.rate)

    def encode(self, sounds: Sounds) -> list[np.ndarray]:
        """Codes of each segment, int32 [N]."""
        return encode_style(self.style, sounds.wavs)


def load_style_encoder(folder: str | Path) -> StyleEncoder:
    """Reads a Hugging Face `Wav2Vec2ForSequenceClassification` folder. UserError for another architecture,
    and for weights that do not fit it.
    """
    config, arrays = read_folder(folder)
    if config.get("use_weighted_layer_sum", False):
        raise UserError(
            f"{folder}/config.json use_weighted_layer_sum",
            True,
            "is not implemented",
            "use the published style encoder",
        )
    cfg = config_from_hf(config)
    tensors = Tensors(folder, canonical(arrays, cfg))
    encoder = load_encoder(tensors, cfg)
    head = StyleHead(CheckpointReader(tensors), *head_widths(config, cfg))
    tensors.finish()
    return StyleEncoder(encoder, head)


def head_widths(config: dict, cfg: Wav2Vec2Config) -> tuple[int, int, int]:
    """Width, projected width and labels that a Hugging Face configuration asks for."""
    labels = config.get("id2label") or range(config.get("num_labels", 2))
    return cfg.width, config.get("classifier_proj_size", 256), len(labels)


def encode_style(model: StyleEncoder, wavs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Style codes, int32 [N], of each 16 kHz wav, float [S] or [C, S] whose channels are averaged: one for
    each second, and one for the rest.

    No code for a wav under 400 samples, too short for a frame. Other wavs have no influence.
    """
    seconds = [pool(states_TD) for states_TD in last_states(model, wavs)]
    return map_blocks(lambda pooled_ND: _classify(model.head, pooled_ND), seconds, BLOCK)


def last_states(model: StyleEncoder, wavs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The encoder's output, float32 [T, D], for each wav, normalised to zero mean and unit variance first."""
    return encode_wavs(model.encoder, [normalize(mix_down(wav), HF_EPS) for wav in wavs])


def pool(states_TD: np.ndarray) -> np.ndarray:
    """Means over each 50 frames, the last over the remaining ones: [N, D]."""
    starts = np.arange(0, len(states_TD), FRAMES_PER_CODE)
    if not len(starts):
        return states_TD
    counts_N1 = np.diff(starts, append=len(states_TD))[:, None]
    return (np.add.reduceat(states_TD, starts, axis=0, dtype=np.float64) / counts_N1).astype(np.float32)


@jax.jit
def _classify(head: StyleHead, pooled_ND: jax.Array) -> jax.Array:
    return jnp.argmax(head(pooled_ND)[1], axis=-1).astype(jnp.int32)
