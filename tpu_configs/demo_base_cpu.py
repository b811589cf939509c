"""The demo's Spirit LM Base: text and phonetic units, minutes on two CPU cores (`make demo`).

The paper's thirds are for real data; here speech is the bottleneck and text is learned already, so the mixture leans on interleaving
and carries transcription pairs, from which it learns to transcribe and to read aloud.
"""

import dataclasses

from spirit_jax.config import Arrangement, CheckpointConfig, OptimConfig, RunConfig, Schedule, Source, TrainConfig
from spirit_jax.tokens.vocab import Vocabulary
from tpu_configs import demo_text_cpu

UNITS = 100


def config() -> RunConfig:
    """Spans are as short as the sentences: 4 to 8 words of text, 2 to 6 of speech."""
    base = demo_text_cpu.config()
    data = dataclasses.replace(
        base.data,
        codec="codec",
        sources=(
            Source("shards", Arrangement.INTERLEAVED, 4, "train"),
            Source("shards", Arrangement.ASR, 1.5, "train"),
            Source("shards", Arrangement.TTS, 2, "train"),
            Source("shards", Arrangement.SPEECH, 0.7, "speech"),
            Source("shards", Arrangement.TEXT, 0.3, "text"),
        ),
        validation=(Source("shards", Arrangement.INTERLEAVED, split="heldout"),),
        text_span_words=(4, 8),
        speech_span_words=(2, 6),
    )
    return dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, rows=Vocabulary(demo_text_cpu.TEXT_PIECES, UNITS).rows()),
        data=data,
        train=TrainConfig(steps=4500, batch_rows=4),
        optim=OptimConfig(peak_lr=3e-3, warmup_steps=40, schedule=Schedule.COSINE, final_lr_fraction=0.02),
        checkpoint=CheckpointConfig(init_from="base", every_steps=1500),
    )
