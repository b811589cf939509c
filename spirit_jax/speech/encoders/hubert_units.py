"""Phonetic units from HuBERT features and a quantizer: the published encoder (paper, section 3.1)."""

import dataclasses

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.speech.encoders.hubert import Hubert, extract_features
from spirit_jax.speech.quantizers.linear import UnitQuantizer
from spirit_jax.speech.segments import Sounds, merge_rate
from spirit_jax.tokens.streams import Stream, unit_stream


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
