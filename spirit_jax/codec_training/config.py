"""The configuration of the training of each part of a codec.

A recipe is a Python file with `config()`, such as `tpu_configs/codecs/vocoder.py`. Sizes and rates default to
those of the open recipes nearest to the published models; values that we chose say "our choice".
"""

import dataclasses
import math
from collections.abc import Sequence

from spirit_jax.config import CheckpointConfig, MeshConfig
from spirit_jax.core.errors import (
    UserError,
    require_at_least,
    require_fraction,
    require_positive,
    require_seed,
)
from spirit_jax.core.settings import part
from spirit_jax.speech.encoders.pitch.vqvae_config import F0_FEATURES, PitchConfig, StackConfig


def _require_counts(prefix: str, **fields: Sequence[int]) -> None:
    """Raises a UserError for the first field that is empty or holds a number below 1."""
    for name, values in fields.items():
        if not values or min(values) < 1:
            raise UserError(
                f"{prefix}.{name}",
                list(values),
                "must be one or more numbers above 0",
                "see the defaults in codec_training/config.py",
            )


def _refuse_init_from(checkpoint: CheckpointConfig) -> None:
    """Raises a UserError if `init_from` is set: only the language model's training reads it."""
    if checkpoint.init_from is not None:
        rule = "has no effect on the training of a part of a codec"
        raise UserError("checkpoint.init_from", checkpoint.init_from, rule, "set checkpoint.init_from=null")


@part
class CorpusConfig:
    """Recordings and their units: what `make units` wrote, in one or more folders, and the codec of these."""

    units: str | tuple[str, ...] = "units"
    codec: str = "codec"
    held_out: str = "heldout"  # the split that is evaluated; if it has no rows, see `datasets.splits`
    evaluated: int = 24  # held-out recordings of an evaluation: our choice

    def __post_init__(self):
        require_positive(self, "corpus", "evaluated")


@part
class StepsConfig:
    """Steps, batch size, and how often figures are logged and held-out recordings evaluated (0: only at the
    end).
    """

    steps: int
    batch_rows: int = 16
    seed: int = 0
    log_every: int = 50
    evaluate_every: int = 1000

    def __post_init__(self):
        require_positive(self, "train", "steps", "batch_rows", "log_every")
        require_at_least(0, self, "train", "evaluate_every")
        require_seed("train.seed", self.seed)


@part
class AdamConfig:
    """Adam, with its rate multiplied by `decay` over every `decay_steps` steps. The open recipes count
    epochs; steps are our choice.
    """

    rate: float = 2e-4
    b1: float = 0.8
    b2: float = 0.99
    decay: float = 0.999
    decay_steps: int = 1000

    def __post_init__(self):
        require_positive(self, "optim", "rate", "decay", "decay_steps")
        require_fraction(self, "optim", "b1", "b2")


@part
class GeneratorSizes:
    """The generator's layers (`spirit_jax.speech.decoders.hifigan.GeneratorConfig`); its tables follow the
    codec. Defaults: the published size.
    """

    rates: tuple[int, ...] = (5, 4, 4, 4, 2)
    rate_kernels: tuple[int, ...] = (11, 8, 8, 8, 4)
    channels: int = 512
    block_kind: int = 1
    block_kernels: tuple[int, ...] = (3, 7, 11)
    block_dilations: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    width: int = 128
    duration_width: int = 256
    speakers: bool = True  # an embedding for each voice that the corpus names

    def __post_init__(self):
        require_positive(self, "generator", "channels", "width")
        require_at_least(0, self, "generator", "duration_width")
        _require_counts(
            "generator", rates=self.rates, rate_kernels=self.rate_kernels, block_kernels=self.block_kernels
        )
        _require_counts(
            "generator", block_dilations=[step for steps in self.block_dilations for step in steps]
        )


@part
class DiscriminatorSizes:
    """HiFi-GAN's discriminators. period_channels: of the convolutions over each period, with 5 taps and
    stride 3, the last with stride 1.

    scale_layers: (channels, taps, stride, groups) of the convolutions over the wave at each of `scales`
    rates, each half of the one before.
    """

    periods: tuple[int, ...] = (2, 3, 5, 7, 11)
    period_channels: tuple[int, ...] = (32, 128, 512, 1024, 1024)
    scales: int = 3
    scale_layers: tuple[tuple[int, int, int, int], ...] = (
        (128, 15, 1, 1),
        (128, 41, 2, 4),
        (256, 41, 2, 16),
        (512, 41, 4, 16),
        (1024, 41, 4, 16),
        (1024, 41, 1, 16),
        (1024, 5, 1, 1),
    )

    def __post_init__(self):
        require_positive(self, "discriminators", "scales")
        _require_counts("discriminators", periods=self.periods, period_channels=self.period_channels)
        _require_counts(
            "discriminators", scale_layers=[size for layer in self.scale_layers for size in layer]
        )
        inputs = [1, *(layer[0] for layer in self.scale_layers)]
        for before, (channels, _, _, groups) in zip(inputs, self.scale_layers):
            if before % groups or channels % groups:
                rule = f"groups must divide the {before} channels in and the {channels} out"
                raise UserError("discriminators.scale_layers groups", groups, rule, "set a divisor of both")


@part
class MelConfig:
    """The log-mel that generated and true sound are compared by; `window` is also the FFT's size."""

    bands: int = 80
    window: int = 1024
    hop: int = 256

    def __post_init__(self):
        require_positive(self, "mel", "bands", "window", "hop")
        if self.hop > self.window:
            raise UserError(
                "mel.hop", self.hop, f"must be at most mel.window = {self.window}", "set mel.hop=256"
            )


@part
class VocoderLoss:
    """Weights of the terms of the loss. `adversarial_from`: steps before the discriminators are used; until
    then the loss is mel and durations alone.
    """

    mel: float = 45.0
    features: float = 2.0
    adversarial: float = 1.0
    durations: float = 1.0
    adversarial_from: int = 0  # our choice: the published recipes use all terms from the start

    def __post_init__(self):
        require_at_least(0, self, "loss", *(field.name for field in dataclasses.fields(self)))


@part
class VocoderRun:
    """A HiFi-GAN with duration predictor for a codec's units (paper, section 3.3). segment_units: units of a
    row, drawn from a recording.
    """

    train: StepsConfig
    corpus: CorpusConfig = CorpusConfig()
    generator: GeneratorSizes = GeneratorSizes()
    discriminators: DiscriminatorSizes = DiscriminatorSizes()
    mel: MelConfig = MelConfig()
    loss: VocoderLoss = VocoderLoss()
    segment_units: int = 14  # 8960 samples
    optim: AdamConfig = AdamConfig()
    mesh: MeshConfig = MeshConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()

    def __post_init__(self):
        _refuse_init_from(self.checkpoint)
        require_positive(self, "run", "segment_units")
        if self.segment_units * (hop := math.prod(self.generator.rates)) <= self.mel.window:
            rule = f"must be longer than mel.window = {self.mel.window} samples at {hop} a unit"
            raise UserError("segment_units", self.segment_units, rule, "set segment_units=14")


@part
class MelNetworkSizes:
    """The network's layers (`spirit_jax.speech.decoders.mel_network.MelNetworkConfig`); its tables follow the
    codec. Sizes are our choice.
    """

    width: int = 192
    blocks: int = 4
    taps: int = 5
    fine_width: int = 96
    fine_blocks: int = 1
    duration_width: int = 64
    speakers: bool = True  # an embedding for each voice that the corpus names

    def __post_init__(self):
        require_positive(self, "network", "width", "taps", "fine_width", "duration_width")
        require_at_least(0, self, "network", "blocks", "fine_blocks")


@part
class MelNetworkLoss:
    """Weights of the terms of the loss beside the difference of log-mel frames: our choice."""

    voicing: float = 1.0
    f0: float = 1.0
    durations: float = 1.0

    def __post_init__(self):
        require_at_least(0, self, "loss", *(field.name for field in dataclasses.fields(self)))


@part
class MelNetworkRun:
    """A network from codes to mel frames, voicing, F0 and durations. segment_units: units of a row, drawn
    from a recording. corpus_hours: of recordings at most, drawn at random, since their frames are kept in
    memory.
    """

    train: StepsConfig
    corpus: CorpusConfig = CorpusConfig()
    network: MelNetworkSizes = MelNetworkSizes()
    loss: MelNetworkLoss = MelNetworkLoss()
    segment_units: int = 64
    corpus_hours: float = 10.0
    optim: AdamConfig = AdamConfig()
    mesh: MeshConfig = MeshConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()

    def __post_init__(self):
        _refuse_init_from(self.checkpoint)
        require_positive(self, "run", "segment_units", "corpus_hours")


STACK = StackConfig(inner_width=32, width=128, downs=4, stride=2, depth=4, hidden_width=32, dilation_growth=3)


@part
class PitchRun:
    """A VQ-VAE of F0 and voicing (paper, section 3.3). The loss is mean square error + `commitment` × that
    of the encoder's vectors to their codes.

    The codebook is the moving mean, with memory `memory`, of the vectors that each code is nearest to. A code
    that on average is nearest to fewer than `restart_below` vectors a step restarts at a vector of the
    batch. The error of F0 is divided by its standard deviation over the corpus, so that voicing counts: our
    choice.
    """

    train: StepsConfig
    corpus: CorpusConfig = CorpusConfig()
    network: PitchConfig = PitchConfig(("norm_f0_interp", "vuv"), STACK, STACK, 64)
    fcpe: str | None = None  # a torchfcpe wheel that tracks F0; None: the codec's, or cross-correlation
    segment_frames: int = 208  # 16,640 samples
    commitment: float = 0.02
    memory: float = 0.99
    restart_below: float = 1.0
    optim: AdamConfig = AdamConfig()
    mesh: MeshConfig = MeshConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()

    def __post_init__(self):
        _refuse_init_from(self.checkpoint)
        require_positive(self, "run", "segment_frames")
        require_at_least(0, self, "run", "commitment", "restart_below")
        require_fraction(self, "run", "memory")
        if not set(self.network.features) & set(F0_FEATURES):
            raise UserError(
                "network.features",
                list(self.network.features),
                f"must have one of {', '.join(F0_FEATURES)}",
                "add norm_f0_interp",
            )
        encoder, decoder = self.network.encoder, self.network.decoder
        if (encoder.stride, encoder.downs) != (decoder.stride, decoder.downs):
            rule = f"must be the encoder's, {encoder.stride} and {encoder.downs}"
            raise UserError(
                "network.decoder stride and downs", (decoder.stride, decoder.downs), rule, "set both alike"
            )
        if self.segment_frames % (frames := self.network.frames_per_code):
            fix = f"set segment_frames={-(-self.segment_frames // frames) * frames}"
            raise UserError(
                "segment_frames", self.segment_frames, f"must be whole codes of {frames} frames", fix
            )


@part
class StyleRun:
    """Style codes at 1 Hz (paper, section 3.1): k-means of `codes` over the means of a teacher's features
    over each second, and a wav2vec 2.0 classifier that learns to predict the codes from sound, as in Meta's
    release.

    teacher, student: Hugging Face folders of models with 50 frames per second. teacher_layer: 1-based; None:
    the last but one. Our choices: the student's convolutions are frozen, rows have `seconds`, and the
    learning rate and the projected width are those of fine-tuning in transformers.
    """

    train: StepsConfig
    teacher: str
    student: str
    corpus: CorpusConfig = CorpusConfig()
    teacher_layer: int | None = None
    codes: int = 100
    projected: int = 256
    seconds: int = 4
    optim: AdamConfig = AdamConfig(rate=3e-5, b1=0.9, b2=0.999)
    mesh: MeshConfig = MeshConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()

    def __post_init__(self):
        _refuse_init_from(self.checkpoint)
        require_positive(self, "run", "codes", "projected", "seconds")
