"""Sizes of the pitch VQ-VAE, and the published config.yaml."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from spirit_jax.core.errors import UserError, require_positive
from spirit_jax.core.foreign_config import ForeignConfig
from spirit_jax.speech.encoders.f0 import HOP
from spirit_jax.tokens.streams import SAMPLE_RATE

F0_FEATURES = ("f0", "f0_interp", "norm_f0", "norm_f0_interp")
# keys of config.yaml of which these values are implemented, absent means the first; keys without influence
CONFIG_FIXED = {
    "sampling_rate": (SAMPLE_RATE,),
    "f0_hop_size": (HOP,),
    "speaker_stats": (None,),
}
CONFIG_KEYS = {
    "training": (
        *("batch_size", "learning_rate", "adam_b1", "adam_b2", "lr_decay", "seed", "lambda_commit"),
        *("segment_size", "num_gpus", "num_workers", "dist_config"),
        *("input_training_file", "input_validation_file"),
    ),
}
STACK_FIXED = {
    "dilation_cycle": (None,),
    "res_scale": (False, None),
    "reverse_decoder_dilation": (False, None),
}
STACK_KEYS = {"training: first weights and memory": ("zero_out", "checkpoint_res")}
CODEBOOK_FIXED = {"levels": (1,)}
CODEBOOK_KEYS = {"training: memory of the moving means": ("mu",)}


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
    def from_yaml(cls, values: ForeignConfig) -> "StackConfig":
        """Reads `encoder_params` or `decoder_params`, but for the width of the other side."""
        values.require(STACK_FIXED)
        counts = values["levels"], len(values["downs_t"]), len(values["strides_t"])
        if counts != (1, 1, 1):
            what, fix = f"{values.where} levels, downs_t, strides_t", "use a VQ-VAE with one codebook"
            raise UserError(what, counts, "must be 1, and one entry each", fix)
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
    """`features` are the channels in and out: an F0 feature and `vuv`. The mean is subtracted from F0 by
    `norm_` features, and by all with `speaker_norm`.
    """

    features: tuple[str, ...]
    encoder: StackConfig
    decoder: StackConfig
    codes: int
    speaker_norm: bool = False

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
    def mean_free(self) -> bool:
        """Whether the mean is subtracted from F0."""
        return self.speaker_norm or any(name.startswith("norm") for name in self.features)

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
        """Reads the content of a published config.yaml. UserError for a key that is neither read nor known to
        have no influence.
        """
        config = ForeignConfig("pitch config.yaml", values)
        try:
            features = tuple(name.strip() for name in config["features"].split(","))
            encoder, decoder = config.part("encoder_params"), config.part("decoder_params")
            codebook = config.part("vq_params")
            cfg = cls(
                features,
                StackConfig.from_yaml(encoder),
                StackConfig.from_yaml(decoder),
                codebook["l_bins"],
                bool(config.get("speaker_norm")),
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
        config.require(CONFIG_FIXED)
        codebook.require(CODEBOOK_FIXED)
        config.finish(CONFIG_KEYS)
        codebook.finish(CODEBOOK_KEYS)
        encoder.finish(STACK_KEYS)
        decoder.finish(STACK_KEYS)
        return cfg
