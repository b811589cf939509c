"""A small Spirit LM Base for one's own recordings, on CPU: the folders that `make units`, `tokenizer` and
`shards` write, below `--root`.

    make train CONFIG=tpu_configs/local/small_cpu.py ROOT=work OUT=runs/mine

2,000 text pieces and 100 units; with others, set model.rows to the number that the error names.
"""

import dataclasses

from spirit_jax.config import CheckpointConfig, RunConfig, Source, TrainConfig
from spirit_jax.tokens.interleave import Arrangement
from spirit_jax.tokens.streams import resized_streams
from spirit_jax.tokens.vocabulary import Vocabulary
from tpu_configs.local import demo_base_cpu

PIECES, UNITS = 2000, 100


def config() -> RunConfig:
    """The demo's model from random weights. Where only some recordings have word times, the others train as
    speech and, apart from it, as text.
    """
    base = demo_base_cpu.config()
    sources = tuple(
        Source("shards", arrangement, split="train")
        for arrangement in (Arrangement.INTERLEAVED, Arrangement.ASR, Arrangement.TTS)
    )
    data = dataclasses.replace(
        base.data,
        codec="units/codec",
        sources=sources,
        validation=(),
        text_span_words=(10, 30),
        speech_span_words=(5, 15),
        speech_first=0.35,
    )
    return dataclasses.replace(
        base,
        model=dataclasses.replace(
            base.model, rows=Vocabulary(PIECES, resized_streams({"units": UNITS})).rows()
        ),
        data=data,
        train=TrainConfig(steps=1000, batch_rows=4),
        optim=dataclasses.replace(base.optim, b2=0.95),
        checkpoint=CheckpointConfig(every_steps=250),
    )
