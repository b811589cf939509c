"""A run's configuration: frozen dataclasses, checked when made, the same in Python, JSON and on the command
line.

A recipe is a Python file with `def config() -> RunConfig`. Every value that the paper leaves open ([?] in its
facts) and that we chose says "a choice".
"""

import dataclasses
import difflib
import enum
import importlib.util
import sys
import traceback
from pathlib import Path
from typing import Any, TypeVar, dataclass_transform

import pydantic

from spirit_jax.core.errors import (
    UserError,
    require_at_least,
    require_fraction,
    require_positive,
    require_seed,
)
from spirit_jax.core.files import read_json, require_file

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def part(cls: type[T]) -> type[T]:
    """A frozen dataclass that refuses unknown keys when read from JSON."""
    made = dataclasses.dataclass(frozen=True)(cls)
    setattr(made, "__pydantic_config__", pydantic.ConfigDict(extra="forbid"))  # noqa: B010
    return made


class Dtype(enum.Enum):
    """Activation type; parameters and optimizer moments are always float32."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class Remat(enum.Enum):
    """What the backward pass has: all; matrix products and attention; those but the wide ones of the MLP; the
    same products as SAVE_DOTS from the host's memory; or nothing but each layer's input, so that every layer
    is computed again.
    """

    NONE = "none"
    SAVE_DOTS = "save_dots"
    SAVE_NARROW = "save_narrow"
    OFFLOAD = "offload"
    FULL = "full"


class Schedule(enum.Enum):
    """Learning rate after warm-up."""

    CONSTANT = "constant"
    COSINE = "cosine"


class Arrangement(enum.Enum):
    """How a record becomes a training sequence (paper section 3.2 and table 6)."""

    INTERLEAVED = "interleaved"
    SPEECH = "speech"
    TEXT = "text"
    ASR = "asr"
    TTS = "tts"


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

    `topology` names the hardware that the mesh is meant for, as check-pod knows it ("v5e:16x16", "h100:8";
    None: any), and `slices` how many of them are joined by the data-centre network: `data` is laid across
    them.
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
    """One part of the mixture: a TFDS folder (`NAME/CONFIG/VERSION` inside), its arrangement and its share of
    the tokens.
    """

    shards: str
    arrangement: Arrangement = Arrangement.INTERLEAVED
    weight: float = 1.0
    split: str = "train"

    def __post_init__(self):
        require_positive(self, "source", "weight")


@part
class DataConfig:
    """What is read and how it is arranged. Span lengths in words: paper appendix A."""

    tokenizer: str
    sources: tuple[Source, ...]
    codec: str | None = None
    validation: tuple[Source, ...] = ()
    sequence_length: int = 4096
    text_span_words: tuple[int, int] = (10, 30)
    speech_span_words: tuple[int, int] = (5, 15)
    speech_first: float = 0.5  # probability that a sequence starts with speech: a choice
    append_eos: bool = True  # a choice; without it a transcript has no end
    # text between [Text] and a transcript, so that it differs from a continuation: a choice
    asr_marker: str = "transcript:"
    tts_marker: str = "speak:"
    # reader processes of a stream; part of the run's identity, since the order depends on it
    workers: int = 0
    # disjoint parts of the records, each packed apart; each process reads whole ones: at least one a process
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
        if not 0 <= self.speech_first <= 1:
            raise UserError(
                "data.speech_first", self.speech_first, "is a probability", "set it between 0 and 1"
            )
        if not self.sources:
            raise UserError("data.sources", "()", "needs at least one source", "name a shard folder")


@part
class OptimConfig:
    """AdamW. Peak rate and constant schedule: paper appendix A; the rest are choices."""

    peak_lr: float = 3e-5
    warmup_steps: int = 500
    schedule: Schedule = Schedule.CONSTANT
    final_lr_fraction: float = 0.0
    b1: float = 0.9
    b2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.1
    clip_norm: float = 1.0

    def __post_init__(self):
        require_positive(self, "optim", "peak_lr", "eps", "clip_norm")
        require_at_least(0, self, "optim", "warmup_steps", "weight_decay")
        require_fraction(self, "optim", "b1", "b2")
        if not 0 <= self.final_lr_fraction <= 1:
            raise UserError(
                "optim.final_lr_fraction",
                self.final_lr_fraction,
                "is a part of optim.peak_lr",
                "set it between 0 and 1",
            )


@part
class TrainConfig:
    """Steps, batch and seeds. `batch_rows` counts the sequences of one step over all devices and accumulation
    parts.
    """

    steps: int
    batch_rows: int
    accumulate: int = 1
    seed: int = 0
    log_every: int = 10
    evaluate_every: int = 0  # 0: only at the end

    def __post_init__(self):
        require_positive(self, "train", "steps", "batch_rows", "accumulate", "log_every")
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
    """Where the weights start and how often the state is kept."""

    init_from: str | None = None  # folder written by `convert import`; None: random weights
    every_steps: int = 500  # no more steps are lost if training is killed; a save begins at every half of it
    keep_last: int = 2
    keep_every: int | None = None

    def __post_init__(self):
        require_positive(self, "checkpoint", "every_steps", "keep_last")
        if self.keep_every is not None:
            require_positive(self, "checkpoint", "keep_every")


@part
class RunConfig:
    """Everything that makes a run what it is; written to `config.json` in the run folder and in each
    checkpoint.
    """

    model: ModelConfig
    data: DataConfig
    train: TrainConfig
    mesh: MeshConfig = MeshConfig()
    optim: OptimConfig = OptimConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()


def to_dict(config: Any) -> dict:
    """A configuration, or a part of one, as plain JSON values."""
    return pydantic.TypeAdapter(type(config)).dump_python(config, mode="json")


def from_dict(values: dict, kind: type[T] = RunConfig) -> T:
    """Builds and checks a configuration, or the part `kind`, from JSON values; unknown or ill-typed keys are
    UserErrors.
    """
    try:
        return pydantic.TypeAdapter(kind).validate_python(values)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, UserError):
            raise cause from error
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "unexpected_keyword_argument":
            raise _unknown_key(where, kind) from error
        raise UserError(
            where, first.get("input"), first["msg"].lower(), "give a value of that type"
        ) from error


def load(path: str | Path, kind: type[T] = RunConfig) -> T:
    """Reads a recipe (`.py` with `config()`) or a `config.json` of this kind; another kind of recipe is a
    UserError.
    """
    require_file(path, "config")
    if Path(path).suffix == ".json":
        return from_dict(read_json(path), kind)
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise UserError("config", path, "must be a .py recipe or a .json file", "see tpu_configs/")
    module = importlib.util.module_from_spec(spec)
    # a recipe may build on its neighbours: `from tpu_configs import ...`
    sys.path.insert(0, str(Path(path).resolve().parent.parent))
    try:
        spec.loader.exec_module(module)
        if not callable(getattr(module, "config", None)):
            raise UserError("config", path, "has no function config()", "see tpu_configs/ for examples")
        made = module.config()
    except UserError:
        raise
    except Exception as error:  # whatever the recipe's own code raises
        raise _broken_recipe(path, error) from error
    finally:
        sys.path.pop(0)
    if not isinstance(made, kind):
        raise UserError(
            "config",
            path,
            f"makes a {type(made).__name__}; this command needs a {kind.__name__}",
            "see tpu_configs/ for one",
        )
    return made


def _broken_recipe(path: str | Path, error: Exception) -> UserError:
    """Names the recipe's line, where the error is not one of syntax, which names its own."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename) == Path(path).absolute()
    ]
    where = f" in line {lines[-1]}" if lines else ""
    return UserError(
        "config",
        path,
        f"fails{where} with {type(error).__name__}: {' '.join(str(error).split())}",
        "mend the recipe",
    )


def resolve_paths(config: RunConfig, root: str | Path) -> RunConfig:
    """The configuration with its relative shard, tokenizer, codec and weight paths taken from the folder
    `root`.
    """

    def at(path: str) -> str:
        return str(Path(root) / path)

    def sources(parts: tuple[Source, ...]) -> tuple[Source, ...]:
        return tuple(dataclasses.replace(source, shards=at(source.shards)) for source in parts)

    data, start = config.data, config.checkpoint.init_from
    data = dataclasses.replace(
        data,
        tokenizer=at(data.tokenizer),
        codec=data.codec and at(data.codec),
        sources=sources(data.sources),
        validation=sources(data.validation),
    )
    return dataclasses.replace(
        config, data=data, checkpoint=dataclasses.replace(config.checkpoint, init_from=start and at(start))
    )


def override(config: T, settings: list[str]) -> T:
    """Applies `part.field=value` settings; values are JSON, or plain words. An unknown key names
    the nearest.
    """
    values = to_dict(config)
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise UserError("--set", setting, "must be KEY=VALUE", "for example --set optim.peak_lr=3e-5")
        *parents, leaf = key.split(".")
        place = values
        for depth, parent in enumerate(parents):
            place = place.get(parent) if isinstance(place, dict) else None
            if not isinstance(place, dict):
                raise _unknown_key(".".join(parents[: depth + 1]), type(config))
        if not isinstance(place, dict) or leaf not in place:
            raise _unknown_key(key, type(config))
        place[leaf] = _parse_value(text)
    return from_dict(values, type(config))


def _parse_value(text: str) -> Any:
    try:
        return pydantic.TypeAdapter(Any).validate_json(text)
    except pydantic.ValidationError:
        return text


def _keys(kind: type, prefix: str = "") -> list[str]:
    keys = []
    for field in dataclasses.fields(kind):
        keys.append(prefix + field.name)
        if dataclasses.is_dataclass(field.type):
            keys += _keys(field.type, f"{prefix}{field.name}.")
    return keys


def _unknown_key(key: str, kind: type) -> UserError:
    keys = _keys(kind)
    near = difflib.get_close_matches(key, keys, 1, 0.3) or keys[:1]
    return UserError("config key", key, "is unknown", f"did you mean {near[0]}?")
