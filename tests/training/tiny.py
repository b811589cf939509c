"""A tiny run on records made in memory."""

import dataclasses
from collections.abc import Sequence
from functools import partial

import jax
import numpy as np

from spirit_jax.config import (
    CheckpointConfig,
    DataConfig,
    Dtype,
    MeshConfig,
    ModelConfig,
    OptimConfig,
    RunConfig,
    Source,
    TrainConfig,
)
from spirit_jax.core.files import write_bytes
from spirit_jax.core.paths import AnyPath
from spirit_jax.model.llama import Llama, abstract, init_sharded
from spirit_jax.sharding import make_mesh
from spirit_jax.tokens.interleave import Arrangement, Record, Spans, arrange
from spirit_jax.training.data.sources import OpenData, OpenSource
from tests.speech_codes import make_speech, make_vocabulary

UNITS = 20
VOCABULARY = make_vocabulary(40, UNITS)
ARRANGE = partial(
    arrange,
    vocabulary=VOCABULARY,
    spans=Spans((2, 4), (1, 3)),
    asr_marker_ids=(5, 6),
    tts_marker_ids=(7, 8),
)
MODEL = ModelConfig(
    rows=128, width=16, layers=2, heads=2, kv_heads=2, head_width=8, mlp_width=32, dtype=Dtype.FLOAT32
)


def make_llama(config: ModelConfig = MODEL, seed: int = 0) -> Llama:
    """Random weights on the first device, by the program that most tests share."""
    mesh = make_mesh(MeshConfig(1, 1, 1), jax.devices()[:1])
    leaves = jax.tree.leaves(init_sharded(MODEL, jax.random.key(seed), mesh))
    return jax.tree.unflatten(jax.tree.structure(abstract(config, mesh)), leaves)


class StandInTokenizer:
    """What a run asks of a tokenizer: that it can be saved."""

    fingerprint = "0" * 16

    def save(self, folder: AnyPath) -> None:
        write_bytes(folder / "tokenizer.model", b"stand-in")


def make_record(index: int, words: int, aligned: bool = True, units_per_word: int = 3) -> Record:
    """Speech whose units and text whose ids tell the record's index and the word."""
    rng = np.random.default_rng(index)
    units = (rng.integers(0, UNITS) + np.arange(words * units_per_word)) % UNITS
    starts = np.arange(words, dtype=np.float32) * units_per_word / 25
    times = (starts, starts + units_per_word / 25) if aligned else (np.zeros(0, np.float32),) * 2
    text_ids = rng.integers(9, VOCABULARY.text_size, 2 * words).astype(np.int32)
    return Record(
        f"r{index}",
        "tiny",
        "v",
        make_speech(units),
        text_ids,
        np.arange(words + 1, dtype=np.int32) * 2,
        *times,
    )


def make_records(count: int, words: tuple[int, int] = (4, 12), first: int = 0) -> list[Record]:
    rng = np.random.default_rng(7)
    return [make_record(first + index, int(rng.integers(words[0], words[1] + 1))) for index in range(count)]


class Rows(list):
    def __getitems__(self, indices: Sequence[int]) -> list:
        return [self[index] for index in indices]


def make_source(
    name: str, rows: Sequence, arrangement: Arrangement = Arrangement.INTERLEAVED, weight: float = 1.0
) -> OpenSource:
    arranged = partial(ARRANGE, arrangement=arrangement)
    rows = rows if hasattr(rows, "__getitems__") else Rows(rows)
    return OpenSource(name, rows, lambda row: row, arranged, VOCABULARY, weight)


def make_data(validation: bool = False) -> OpenData:
    sources = (
        make_source("0-interleaved", make_records(30), Arrangement.INTERLEAVED, 2.0),
        make_source("1-speech", make_records(20, first=100), Arrangement.SPEECH, 1.0),
        make_source("2-text", make_records(25, first=200), Arrangement.TEXT, 1.0),
    )
    held_out = (make_source("3-interleaved", make_records(9, first=300)),) if validation else ()
    return OpenData(VOCABULARY, StandInTokenizer(), sources, held_out)


def make_config(steps: int = 6, **changes) -> RunConfig:
    """`changes` by part: train=dict(..), checkpoint=dict(..), .."""
    data = DataConfig(tokenizer="tokenizer.model", sources=(Source("shards"),), sequence_length=64)
    config = RunConfig(
        MODEL,
        data,
        TrainConfig(steps, 4, log_every=2),
        MeshConfig(1, 2, 1),
        OptimConfig(1e-2, 2),
        CheckpointConfig(every_steps=3),
    )
    for name, values in changes.items():
        config = dataclasses.replace(config, **{name: dataclasses.replace(getattr(config, name), **values)})
    return config
