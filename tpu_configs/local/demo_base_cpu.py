"""The demo's Spirit LM Base: text and phonetic units, minutes on two CPU cores (`make demo`).

The paper's thirds are for real data; here speech is the bottleneck and text is learned already, so the
mixture leans on interleaving and on pairs of speech and transcript, from which it learns to transcribe and,
more slowly, to read aloud.
"""

import dataclasses

from spirit_jax.config import CheckpointConfig, OptimConfig, RunConfig, Schedule, Source, TrainConfig
from spirit_jax.tokens.interleave import Arrangement
from spirit_jax.tokens.streams import resized_streams
from spirit_jax.tokens.vocabulary import Vocabulary
from tpu_configs.local import demo_text_cpu

UNITS = 300


def config() -> RunConfig:
    """Spans are as short as the sentences, and more begin with text, since continuing text in speech is
    harder than the reverse.

    Measured with espeak-ng in Expressive: less reading aloud (ASR 2.5, TTS 2) gave a word error rate of .35
    instead of .20 of what it reads, less transcription (1.5) .42 instead of .06 to .17 of its transcripts.
    With Pico in Base, interleaving 4, ASR 1.5, TTS 3 gave .21 and .20 instead of .06 and .08, interleaving
    3.5 alone .16 and .16.
    """
    base = demo_text_cpu.config()
    sources = (
        Source("shards", Arrangement.INTERLEAVED, 3, "train"),
        Source("shards", Arrangement.ASR, 2, "train"),
        Source("shards", Arrangement.TTS, 3.5, "train"),
        Source("shards", Arrangement.SPEECH, 0.3, "speech"),
        Source("shards", Arrangement.TEXT, 0.2, "text"),
    )
    data = dataclasses.replace(
        base.data,
        codec="codec",
        sources=sources,
        validation=(Source("shards", Arrangement.INTERLEAVED, split="heldout"),),
        text_span_words=(4, 8),
        speech_span_words=(3, 6),
        speech_first=0.2,
    )
    return dataclasses.replace(
        base,
        model=dataclasses.replace(
            base.model, rows=Vocabulary(demo_text_cpu.TEXT_PIECES, resized_streams({"units": UNITS})).rows()
        ),
        data=data,
        train=TrainConfig(steps=4500, batch_rows=4),
        optim=OptimConfig(peak_lr=3e-3, warmup_steps=40, schedule=Schedule.COSINE, final_lr_fraction=0.02),
        checkpoint=CheckpointConfig(init_from="base", every_steps=1000),
    )
