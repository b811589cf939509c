"""The demo's Spirit LM Base: text and phonetic units, minutes on two CPU cores (`make demo`).

The paper's thirds are for real data; here speech is the bottleneck and text is learned already, so the mixture leans on interleaving
and carries transcription pairs, from which it learns to transcribe and to read aloud.
"""

import dataclasses

from spirit_jax.config import Arrangement, CheckpointConfig, OptimConfig, RunConfig, Schedule, Source, TrainConfig
from spirit_jax.tokens.vocab import Vocabulary
from tpu_configs import demo_text_cpu

UNITS = 100


def mixture(interleaved: float, asr: float, tts: float, speech: float, text: float) -> tuple[Source, ...]:
    """The sources with these shares of the tokens."""
    return (
        Source("shards", Arrangement.INTERLEAVED, interleaved, "train"),
        Source("shards", Arrangement.ASR, asr, "train"),
        Source("shards", Arrangement.TTS, tts, "train"),
        Source("shards", Arrangement.SPEECH, speech, "speech"),
        Source("shards", Arrangement.TEXT, text, "text"),
    )


def config() -> RunConfig:
    """Spans are as short as the sentences: 2 to 6 words of text, 1 to 4 of speech."""
    base = demo_text_cpu.config()
    data = dataclasses.replace(
        base.data,
        codec="codec",
        sources=mixture(4, 1, 2.5, 1, 0.5),
        validation=(Source("shards", Arrangement.INTERLEAVED, split="heldout"),),
        text_span_words=(2, 6),
        speech_span_words=(1, 4),
    )
    return dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, rows=Vocabulary(demo_text_cpu.TEXT_PIECES, UNITS).rows()),
        data=data,
        train=TrainConfig(steps=4000, batch_rows=4),
        optim=OptimConfig(peak_lr=3e-3, warmup_steps=40, schedule=Schedule.COSINE, final_lr_fraction=0.02),
        checkpoint=CheckpointConfig(init_from="base", every_steps=1000),
    )
