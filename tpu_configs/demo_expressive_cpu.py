"""The demo's Spirit LM Expressive: pitch and style units beside the phonetic ones (`make demo VARIANT=expressive`)."""

import dataclasses

from spirit_jax.config import RunConfig
from spirit_jax.tokens.vocab import Vocabulary
from tpu_configs import demo_base_cpu, demo_text_cpu

PITCHES, STYLES = 64, 32


def config() -> RunConfig:
    """As Base, with longer spans (measured: text to speech .833 with Base's, .846 with these and 500 more steps) and more transcription."""
    base = demo_base_cpu.config()
    rows = Vocabulary(demo_text_cpu.TEXT_PIECES, demo_base_cpu.UNITS, PITCHES, STYLES).rows()
    sources = demo_base_cpu.mixture(4, 1.5, 2, 0.7, 0.3)
    return dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, rows=rows),
        data=dataclasses.replace(base.data, sources=sources, text_span_words=(4, 8), speech_span_words=(2, 6)),
        train=dataclasses.replace(base.train, steps=4500),
    )
