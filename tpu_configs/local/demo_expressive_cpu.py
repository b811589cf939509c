"""The demo's Spirit LM Expressive: units, pitch and style codes (`make demo VARIANT=expressive`)."""

import dataclasses

from spirit_jax.config import RunConfig
from spirit_jax.tokens.streams import resized_streams
from spirit_jax.tokens.vocabulary import Vocabulary
from tpu_configs.local import demo_base_cpu, demo_text_cpu

PITCHES, STYLES = 24, 8  # fewer than the paper's: each code costs training


def config() -> RunConfig:
    """As Base, with the vocabulary of pitch and style, whose codes make speech longer: more steps, and a
    little more interleaving. With Base's share its choices and what it reads aloud were worse, what it
    transcribes better (docs/evaluation.md).
    """
    base = demo_base_cpu.config()
    rows = Vocabulary(
        demo_text_cpu.TEXT_PIECES,
        resized_streams({"units": demo_base_cpu.UNITS, "pitch": PITCHES, "style": STYLES}),
    ).rows()
    interleaved, *others = base.data.sources
    sources = (dataclasses.replace(interleaved, weight=3.5), *others)
    return dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, rows=rows),
        data=dataclasses.replace(base.data, sources=sources),
        train=dataclasses.replace(base.train, steps=14000),
    )
