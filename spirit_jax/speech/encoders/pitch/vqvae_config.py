"""Sizes of the pitch VQ-VAE, and the published config.yaml."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from spirit_jax.core.errors import UserError, require_positive
from spirit_jax.speech.encoders.pitch.cross_correlation import HOP
from spirit_jax.tokens.streams import SAMPLE_RATE

F0_FEATURES = ("f0", "f0_interp", "norm_f0", "norm_f0_interp")
STACK_KEYS = {
    "input_emb_width",
    "output_emb_width",
    "levels",
    "downs_t",
    "strides_t",
    "width",
    "depth",
    "m_conv",
    "dilation_growth_rate",
}


@dataclasses.dataclass(frozen=True)
class StackConfig:
    """Sizes of the encoder or the decoder: `downs` levels of a convolution by `stride` and `depth` residual
    blocks.
    """

    inner_width: int
    width: int  # of a code
    downs: int
    stride: int
    depth: int
    hidden_width: int  # inside a residual block
    dilation_growth: int

    def __post_init__(self):
        require_positive(self, "pitch stack", *(field.name for field in dataclasses.fields(self)))

    @classmethod
    def from_yaml(cls, values: Mapping[str, Any], where: str) -> "StackConfig":
        """Reads `encoder_params` or `decoder_params`."""
        unknown = [key for key, value in values.items() if key not in STACK_KEYS and value]
        if unknown:
            raise UserError(
                f"{where}.{unknown[0]}",
                values[unknown[0]],
                f"is not known; known are {', '.join(sorted(STACK_KEYS))}",
                "leave it out",
            )
        if values["levels"] != 1 or len(values["downs_t"]) != 1:
            raise UserError(
                f"{where}.levels", values["levels"], "must be 1", "use a VQ-VAE with one codebook"
            )
        return cls(
            inner_width=values["width"],
            width=values["output_emb_width"],
            downs=values["downs_t"][0],
            stride=values["strides_t"][0],
            depth=values["depth"],
            hidden_width=int(values["width"] * values.get("m_conv", 1.0)),
            dilation_growth=values.get("dilation_growth_rate", 1),
        )


@dataclasses.dataclass(frozen=True)
class PitchConfig:
    """`features` are the channels in and out: an F0 feature, of which `norm_` names subtract the mean, and
    `vuv`.
    """

    features: tuple[str, ...]
    encoder: StackConfig
    decoder: StackConfig
    codes: int

    def __post_init__(self):
        unknown = [name for name in self.features if name not in (*F0_FEATURES, "vuv")]
        if unknown:
            raise UserError(
                "pitch features",
                unknown[0],
                f"must be of {', '.join(F0_FEATURES)} or vuv",
                "correct config.yaml",
            )
        require_positive(self, "pitch", "codes")
        if self.encoder.width != self.decoder.width:
            raise UserError(
                "pitch code widths",
                (self.encoder.width, self.decoder.width),
                "must agree",
                "correct config.yaml",
            )

    @property
    def interpolated(self) -> bool:
        """Whether the F0 feature needs its unvoiced frames filled."""
        return any(name.endswith("interp") for name in self.features)

    @property
    def frames_per_code(self) -> int:
        """F0 frames that one code stands for."""
        return self.encoder.stride**self.encoder.downs

    @property
    def rate(self) -> float:
        """Codes per second."""
        return SAMPLE_RATE / HOP / self.frames_per_code

    @classmethod
    def from_yaml(cls, values: Mapping[str, Any]) -> "PitchConfig":
        """Reads the content of a published config.yaml."""
        try:
            features = tuple(name.strip() for name in values["features"].split(","))
            encoder, decoder, codebook = (
                values["encoder_params"],
                values["decoder_params"],
                values["vq_params"],
            )
            cfg = cls(
                features,
                StackConfig.from_yaml(encoder, "encoder_params"),
                StackConfig.from_yaml(decoder, "decoder_params"),
                codebook["l_bins"],
            )
            widths = encoder["input_emb_width"], decoder["input_emb_width"], codebook["emb_width"]
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(
                "pitch config.yaml",
                str(error),
                "lacks this, or has another kind of value for it",
                "use the published file",
            ) from error
        if widths != (len(features), len(features), cfg.encoder.width):
            raise UserError(
                "pitch config.yaml widths",
                widths,
                f"must fit {len(features)} features and width {cfg.encoder.width}",
                "correct config.yaml",
            )
        return cfg
