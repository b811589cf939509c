"""The configuration of a training run.

A recipe is a Python file with `def config() -> RunConfig`; `core.settings` reads it. Values that the paper
leaves open, and that we chose, say "our choice".
"""

import dataclasses
import enum
from collections.abc import Callable

from spirit_jax.core.errors import (
    UserError,
    require_at_least,
    require_fraction,
    require_positive,
    require_seed,
)
from spirit_jax.core.paths import AnyPath, in_bucket, to_path
from spirit_jax.core.settings import part
from spirit_jax.tokens.interleave import Arrangement, Spans


class Dtype(enum.Enum):
    """Activation type; parameters and optimizer moments are always float32."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class Remat(enum.Enum):
    """What the forward pass saves for the backward pass, which computes the rest again."""

    NONE = "none"  # everything: nothing is computed again
    SAVE_DOTS = "save_dots"  # matrix products and attention
    SAVE_NARROW = "save_narrow"  # as SAVE_DOTS, without the wide products of the MLP
    OFFLOAD = "offload"  # as SAVE_DOTS, in the host's memory
    FULL = "full"  # each layer's input alone: full rematerialisation


class Schedule(enum.Enum):
    """Learning rate after warm-up."""

    CONSTANT = "constant"
    COSINE = "cosine"


# fields of ModelConfig, besides `rows`, that the shapes or the numbers of weights depend on
ARCHITECTURE = (
    "width",
    "layers",
    "heads",
    "kv_heads",
    "head_width",
    "mlp_width",
    "tied",
    "norm_eps",
    "rope_scaling",
)


@part
class RopeScaling:
    """Llama 3's frequency scaling (config.json `rope_scaling` of type llama3)."""

    factor: float = 8.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position: int = 8192


@part
class ModelConfig:
    """A Llama. `rows` is the height of the embedding table, padding rows included."""

    rows: int
    width: int = 4096
    layers: int = 32
    heads: int = 32
    kv_heads: int = 32
    head_width: int = 128
    mlp_width: int = 11008
    rope_theta: float = 100_000.0
    rope_scaling: RopeScaling | None = None
    norm_eps: float = 1e-5
    tied: bool = False
    dtype: Dtype = Dtype.BFLOAT16
    remat: Remat = Remat.FULL

    def __post_init__(self):
        require_positive(
            self,
            "model",
            "rows",
            "width",
            "layers",
            "heads",
            "kv_heads",
            "head_width",
            "mlp_width",
            "rope_theta",
            "norm_eps",
        )
        if self.heads % self.kv_heads:
            raise UserError(
                "model.kv_heads",
                self.kv_heads,
                f"must divide model.heads = {self.heads}",
                "set model.kv_heads to a divisor",
            )
        if self.head_width % 2:
            raise UserError(
                "model.head_width",
                self.head_width,
                "must be even (rotary pairs)",
                "set an even model.head_width",
            )


@part
class MeshConfig:
    """Device mesh sizes; one of them may be -1, the rest of the devices.

    topology: the hardware the mesh is meant for, in check-pod's names ("v5e:16x16", "h100:8"; None: any).
    slices: how many of them the data-centre network joins; `data` runs across them.
    """

    data: int = 1
    fsdp: int = -1
    tensor: int = 1
    context: int = 1
    topology: str | None = None
    slices: int = 1

    def __post_init__(self):
        sizes = (self.data, self.fsdp, self.context, self.tensor)
        if any(n < 1 and n != -1 for n in sizes) or sizes.count(-1) > 1:
            rule, fix = (
                "sizes are at least 1, and at most one is -1",
                "set mesh.fsdp=-1 and the others to 1 or more",
            )
            raise UserError("mesh (data, fsdp, context, tensor)", sizes, rule, fix)
        require_positive(self, "mesh", "slices")


@part
class Source:
    """One source of the mixture: a TFDS folder (`NAME/CONFIG/VERSION` inside), how its records are arranged,
    and its share of the tokens, relative to the other sources.
    """

    shards: str
    arrangement: Arrangement = Arrangement.INTERLEAVED
    weight: float = 1.0
    split: str = "train"

    def __post_init__(self):
        require_positive(self, "source", "weight")


@part
class DataConfig:
    """What is read and how it is arranged. Lengths of spans are in words (paper, appendix A).

    poisson_span_words: mean words of text and of speech, in place of the limits (`tokens.interleave.Spans`).
    """

    tokenizer: str
    sources: tuple[Source, ...]
    codec: str | None = None
    validation: tuple[Source, ...] = ()
    sequence_length: int = 4096
    text_span_words: tuple[int, int] = (10, 30)
    speech_span_words: tuple[int, int] = (5, 15)
    poisson_span_words: tuple[float, float] | None = None
    speech_first: float = 0.5  # probability that a sequence starts with speech: our choice
    append_eos: bool = True  # our choice; without it a transcript has no end
    # text between [Text] and a transcript, so that it differs from a continuation: our choice
    asr_marker: str = "transcript:"
    tts_marker: str = "speak:"
    # reader processes for each stream; the order of batches depends on it, so a resumed run keeps it
    workers: int = 0
    # disjoint parts of the records, each packed on its own; a process reads whole streams: one or more each
    streams: int = 1

    def __post_init__(self):
        require_positive(self, "data", "streams")
        require_at_least(2, self, "data", "sequence_length")  # a token and the one after it
        require_at_least(0, self, "data", "workers")
        for name in ("text_span_words", "speech_span_words"):
            low, high = getattr(self, name)
            if not 1 <= low <= high:
                raise UserError(
                    f"data.{name}", (low, high), "needs 1 <= low <= high", f"set data.{name}=[5,15]"
                )
        if self.poisson_span_words is not None and not min(self.poisson_span_words) > 0:
            rule, fix = "needs two means above 0", "set data.poisson_span_words=[23.3,10]"
            raise UserError("data.poisson_span_words", self.poisson_span_words, rule, fix)
        if not 0 <= self.speech_first <= 1:
            raise UserError(
                "data.speech_first", self.speech_first, "is a probability", "set it between 0 and 1"
            )
        if not self.sources:
            raise UserError("data.sources", "()", "needs at least one source", "name a shard folder")

    @property
    def spans(self) -> Spans:
        """How spans are drawn."""
        words = self.text_span_words, self.speech_span_words
        return Spans(*words, self.speech_first, self.poisson_span_words)


@part
class OptimConfig:
    """AdamW. Peak rate and constant schedule are the paper's (appendix A); the rest are our choice.

    reduce_dtype: the type in which devices sum their gradients of the layers' matrices. Of the embedding, the
    head and the norms it is float32.
    """

    peak_lr: float = 3e-5
    warmup_steps: int = 500
    schedule: Schedule = Schedule.CONSTANT
    final_lr_fraction: float = 0.0
    b1: float = 0.9
    b2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    reduce_dtype: Dtype = Dtype.FLOAT32

    def __post_init__(self):
        require_positive(self, "optim", "peak_lr", "eps", "clip_norm")
        require_at_least(0, self, "optim", "warmup_steps", "weight_decay")
        require_fraction(self, "optim", "b1", "b2")
        if not 0 <= self.final_lr_fraction <= 1:
            raise UserError(
                "optim.final_lr_fraction",
                self.final_lr_fraction,
                "is a fraction of optim.peak_lr",
                "set it between 0 and 1",
            )


@part
class TrainConfig:
    """Steps, batch and seed. batch_rows: sequences in one step, over all devices and accumulation parts.

    text_weight: how often a text token, BOS or EOS counts in the loss, where one of speech or a tag counts
    once; our choice. The figures of training and evaluation are without it.
    """

    steps: int
    batch_rows: int
    accumulate: int = 1
    text_weight: float = 1.0
    seed: int = 0
    log_every: int = 10
    evaluate_every: int = 0  # 0: only at the end

    def __post_init__(self):
        require_positive(self, "train", "steps", "batch_rows", "accumulate", "text_weight", "log_every")
        require_at_least(0, self, "train", "evaluate_every")
        require_seed("train.seed", self.seed)
        if self.batch_rows % self.accumulate:
            raise UserError(
                "train.accumulate",
                self.accumulate,
                f"must divide train.batch_rows = {self.batch_rows}",
                "set a divisor",
            )


@part
class CheckpointConfig:
    """Where the weights start and how often the state is saved."""

    init_from: str | None = None  # folder written by `convert import`; None: random weights
    every_steps: int = 500  # the most steps lost if training is killed; a save begins every half of that
    keep_last: int = 2
    keep_every: int | None = None

    def __post_init__(self):
        require_positive(self, "checkpoint", "every_steps", "keep_last")
        if self.keep_every is not None:
            require_positive(self, "checkpoint", "keep_every")


@part
class RunConfig:
    """Everything that defines a run; written to `config.json` in the run folder and in each checkpoint."""

    model: ModelConfig
    data: DataConfig
    train: TrainConfig
    mesh: MeshConfig = MeshConfig()
    optim: OptimConfig = OptimConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()

    def __post_init__(self):
        if self.optim.reduce_dtype is Dtype.BFLOAT16 and self.model.dtype is Dtype.FLOAT32:
            raise UserError(
                "optim.reduce_dtype",
                self.optim.reduce_dtype.value,
                "is narrower than model.dtype = float32",
                "set optim.reduce_dtype=float32",
            )


def resolve_paths(config: RunConfig, root: str | AnyPath) -> RunConfig:
    """The configuration with its relative paths (shards, tokenizer, codec, weights) taken from `root`, which
    may be in a bucket.
    """

    def at(path: str) -> str:
        return path if in_bucket(path) else str(to_path(root) / path)

    return replace_paths(config, at, at)


def replace_paths(
    config: RunConfig, of_data: Callable[[str], str], of_weights: Callable[[str], str]
) -> RunConfig:
    """The configuration with other paths of data (shards, tokenizer, codec) and of the first weights."""

    def sources(parts: tuple[Source, ...]) -> tuple[Source, ...]:
        return tuple(dataclasses.replace(source, shards=of_data(source.shards)) for source in parts)

    data, start = config.data, config.checkpoint.init_from
    data = dataclasses.replace(
        data,
        tokenizer=of_data(data.tokenizer),
        codec=data.codec and of_data(data.codec),
        sources=sources(data.sources),
        validation=sources(data.validation),
    )
    checkpoint = dataclasses.replace(config.checkpoint, init_from=start and of_weights(start))
    return dataclasses.replace(config, data=data, checkpoint=checkpoint)
