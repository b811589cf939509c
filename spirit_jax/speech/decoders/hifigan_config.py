"""Sizes of the HiFi-GAN generator, and the published config.json."""

import dataclasses
import itertools
import math
from collections.abc import Mapping
from typing import Any

from spirit_jax.core.errors import UserError
from spirit_jax.core.foreign_config import ForeignConfig
from spirit_jax.tokens.streams import UNITS

TABLES = {
    UNITS: "dict",
    "pitch": "f0_dict",
    "style": "style_dict",
}  # the checkpoint's embedding of each stream
# keys of config.json without influence on the sound
CONFIG_KEYS = {
    "training": (
        *("batch_size", "learning_rate", "adam_b1", "adam_b2", "lr_decay", "seed", "segment_size"),
        *("num_gpus", "num_workers", "dist_config", "input_training_file", "input_validation_file"),
        *("dur_prediction_weight", "lambda_commit", "lambda_commit_code"),
    ),
    "spectrograms of the losses": (
        *("num_mels", "num_freq", "n_fft", "hop_size", "win_size", "fmin", "fmax", "fmax_for_loss"),
    ),
    "how the pitch codes of training were made; the embeddings say whether there are any": (
        *("f0", "f0_stats", "f0_normalize", "f0_feats", "f0_median", "f0_interp"),
        *("f0_quantizer", "f0_quantizer_path"),
    ),
}
DURATION_KEYS = {"training": ("var_pred_dropout",)}


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

    @property
    def duration_reach(self) -> int:
        """Units on either side that a predicted duration depends on: two convolutions."""
        return 2 * (self.duration_taps // 2) if self.duration_width else 0

    def samples(self, frames: int) -> int:
        """Samples of that many frames: the product of the rates for each frame, and more if a kernel is
        longer than its rate by an odd number.
        """
        for rate, taps in zip(self.rates, self.rate_kernels):
            frames = frames * rate + (taps - rate) % 2
        return frames

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "GeneratorConfig":
        """Reads a published config.json. UserError for a key that is neither read nor in `CONFIG_KEYS`."""
        config = ForeignConfig("generator config.json", values)
        try:
            cfg = cls._read(config)
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
        if config.get("model_in_dim", len(cfg.tables) * cfg.width) != len(cfg.tables) * cfg.width:
            rule = f"must be {len(cfg.tables)} embeddings ({', '.join(cfg.tables)}) of {cfg.width}"
            raise UserError(
                "generator model_in_dim",
                values["model_in_dim"],
                rule,
                "use the config.json published with the weights",
            )
        config.finish(CONFIG_KEYS)
        return cfg

    @classmethod
    def _read(cls, values: ForeignConfig) -> "GeneratorConfig":
        where = f"{values.where} dur_predictor_params"
        duration = ForeignConfig(where, values.get("dur_predictor_params") or {})
        duration.require({"encoder_embed_dim": (values["embedding_dim"],)})
        cfg = cls(
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
            speakers=_count(values, "multispkr", "num_speakers"),
            style_ids=_count(values, "multistyle", "num_styles"),
            duration_width=duration.get("var_pred_hidden_dim", 0),
            duration_taps=duration.get("var_pred_kernel_size", 3),
        )
        duration.finish(DURATION_KEYS)
        return cfg


def _require(holds: bool, what: str, value: Any, rule: str) -> None:
    if not holds:
        raise UserError(f"generator {what}", value, rule, "correct its config.json")


def _count(values: ForeignConfig, switch: str, key: str) -> int:
    """The rows of an embedding; 0 where its switch is off, whatever the key says."""
    used, rows = values.get(switch), values.get(key)
    if not used:
        return 0
    if rows is None:
        raise KeyError(key)
    return rows
