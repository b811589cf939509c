"""HuBERT features of speech and the phonetic units made of them: the published encoder has 25 units a second
(paper, section 3.1).

Legend: C channels, S samples, T frames, D width.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.core.foreign_config import ForeignConfig
from spirit_jax.speech import segments
from spirit_jax.speech.audio import mix_down, normalize
from spirit_jax.speech.encoders.wav2vec2.batches import encode_wavs
from spirit_jax.speech.encoders.wav2vec2.checkpoints import (
    canonical,
    config_from_fairseq,
    config_from_hf,
    load_encoder,
)
from spirit_jax.speech.encoders.wav2vec2.fairseq_files import read_fairseq
from spirit_jax.speech.encoders.wav2vec2.foreign_keys import FAIRSEQ_TASK
from spirit_jax.speech.encoders.wav2vec2.network import Wav2Vec2
from spirit_jax.speech.encoders.wav2vec2.preprocessor import read_normalize_eps
from spirit_jax.speech.quantizers.linear import UnitQuantizer
from spirit_jax.speech.segments import Sounds, merge_rate
from spirit_jax.speech.weights.torch_files import Tensors, read_folder
from spirit_jax.tokens.streams import SAMPLE_RATE, Stream, unit_stream

SHORTEST = 400  # samples; a shorter segment is dropped (observed in Meta's release)
FAIRSEQ_EPS = 1e-5  # under the root when a waveform is normalised


@dataclasses.dataclass(frozen=True)
class Hubert:
    """An encoder, the layer (1-based) whose output is the feature, and the epsilon of the waveform's
    normalisation, None where there is none.
    """

    encoder: Wav2Vec2
    layer: int
    normalize_eps: float | None = None

    def __post_init__(self):
        if not 1 <= self.layer <= self.encoder.cfg.layers:
            raise UserError(
                "HuBERT layer",
                self.layer,
                f"must be within 1 to {self.encoder.cfg.layers}",
                "name a layer that the checkpoint has",
            )

    @property
    def frame_rate(self) -> float:
        """Features a second."""
        return SAMPLE_RATE / self.encoder.cfg.hop


def load_hubert(path: str | Path, layer: int | None = None) -> Hubert:
    """Reads a fairseq checkpoint, in the published form (`mhubert_base_25hz.pt`) or as fairseq's trainer
    saves it, or a Hugging Face HuBERT folder.

    `layer`: the last but one if not given, which is layer 11 of the published model. UserError for another
    architecture, for a configuration key that is not known, and for weights that are missing, unknown or
    misshapen.
    """
    encoder, eps = _load_folder(path) if Path(path).is_dir() else _load_fairseq(path)
    return Hubert(encoder, max(1, encoder.cfg.layers - 1) if layer is None else layer, eps)


def extract_features(
    hubert: Hubert, wavs: Sequence[np.ndarray], longest: int | None = None
) -> list[np.ndarray]:
    """Features, float32 [T, D], of each 16 kHz wav, float [S] or [C, S] whose channels are averaged.

    The whole wav is normalised, if the checkpoint asks for it, and cut into segments of `longest` samples
    (default 100 s); a last segment under 400 samples is dropped, and one that is too short for a frame (under
    720 samples at 25 Hz) has no feature. Other wavs have no influence.
    """
    whole = [mix_down(wav) for wav in wavs]
    if hubert.normalize_eps is not None:
        whole = [normalize(wav_S, hubert.normalize_eps) for wav_S in whole]
    cuts, owners = segments.cut(whole, SHORTEST, longest)
    features: list[list[np.ndarray]] = [[np.zeros((0, hubert.encoder.cfg.width), np.float32)] for _ in wavs]
    for owner, segment_TD in zip(owners, encode_wavs(hubert.encoder, cuts, hubert.layer)):
        features[owner].append(segment_TD)
    return [np.concatenate(parts) for parts in features]


@dataclasses.dataclass(frozen=True)
class HubertUnits:
    """A unit encoder. Its rate is that of HuBERT's frames."""

    hubert: Hubert
    quantizer: UnitQuantizer

    def __post_init__(self):
        width = self.hubert.encoder.cfg.width
        if self.quantizer.width != width:
            fix = "use the quantizer that belongs to this HuBERT and layer"
            raise UserError("quantizer width", self.quantizer.width, f"must be HuBERT's, {width}", fix)

    @property
    def stream(self) -> Stream:
        """The units, including a linear quantizer's blank."""
        rate = self.hubert.frame_rate
        return unit_stream(self.quantizer.unit_count, rate, merge_rate(rate, self.count_units))

    @property
    def spoken_count(self) -> int:
        """Units that have a sound: all but the blank."""
        return self.quantizer.spoken_count

    def count_units(self, samples: int) -> int:
        """Units of a segment of `samples` samples."""
        return self.hubert.encoder.cfg.frame_count(samples)

    def encode(self, sounds: Sounds) -> list[np.ndarray]:
        """Units of each segment, int32 [T]."""
        return self.quantizer.quantize(self.features(sounds))

    def features(self, sounds: Sounds) -> list[np.ndarray]:
        """HuBERT's states of each segment, float32 [T, D]."""
        return extract_features(self.hubert, sounds.wavs)


def _load_fairseq(path: str | Path) -> tuple[Wav2Vec2, float | None]:
    checkpoint = read_fairseq(path)
    task_cfg = ForeignConfig("task_cfg", checkpoint.task_cfg)
    task_cfg.require({"sample_rate": (SAMPLE_RATE,)})
    normalized = task_cfg.get("normalize", False)
    task_cfg.finish(FAIRSEQ_TASK)
    cfg = config_from_fairseq(checkpoint.model_cfg)
    tensors = Tensors(path, canonical(checkpoint.weights, cfg))
    encoder = load_encoder(tensors, cfg)
    tensors.finish()
    return encoder, FAIRSEQ_EPS if normalized else None


def _load_folder(folder: str | Path) -> tuple[Wav2Vec2, float | None]:
    config, arrays = read_folder(folder)
    cfg = config_from_hf(config)
    tensors = Tensors(folder, canonical(arrays, cfg))
    encoder = load_encoder(tensors, cfg)
    tensors.finish()
    return encoder, read_normalize_eps(folder)
