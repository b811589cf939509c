"""The demo's Spirit LM Expressive: units, pitch and style codes (`make demo VARIANT=expressive`)."""

import dataclasses

from spirit_jax.config import RunConfig, TrainConfig
from spirit_jax.tokens.streams import resized_streams
from spirit_jax.tokens.vocabulary import Vocabulary
from tpu_configs.local import demo_base_cpu, demo_text_cpu

PITCHES, STYLES = 24, 8  # fewer than the paper's: each code costs training


def config() -> RunConfig:
    """As Base, with the vocabulary of pitch and style, whose codes make speech longer: more interleaving and
    more tokens. Base's smaller steps, in which text counts twice, transcribe better here too, but what they
    read aloud is understood less (docs/evaluation.md).
    """
    base = demo_base_cpu.config()
    rows = Vocabulary(
        demo_text_cpu.TEXT_PIECES,
        resized_streams({"units": demo_base_cpu.UNITS, "pitch": PITCHES, "style": STYLES}),
    ).rows()
    weights = (3.5, 2, 3.5, 0.3, 0.2)
    sources = tuple(
        dataclasses.replace(source, weight=weight)
        for source, weight in zip(base.data.sources, weights, strict=True)
    )
    return dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, rows=rows),
        data=dataclasses.replace(base.data, sources=sources),
        train=TrainConfig(steps=6000, batch_rows=4),
    )
