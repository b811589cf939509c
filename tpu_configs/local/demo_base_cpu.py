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
SHARES = {"train": 1 / 3, "pairs": 2 / 3}  # of the pairs of speech and transcript: as many as are in each


def config() -> RunConfig:
    """Spans are as short as the sentences, and more begin with text, since continuing text in speech is
    harder than the reverse. Text counts twice, since an utterance has 80 units and 12 pieces of text. What
    was measured is in docs/evaluation.md.
    """
    base = demo_text_cpu.config()
    sources = (
        Source("shards", Arrangement.INTERLEAVED, 3, "train"),
        *(Source("shards", Arrangement.ASR, 2.3 * share, split) for split, share in SHARES.items()),
        *(Source("shards", Arrangement.TTS, 3.8 * share, split) for split, share in SHARES.items()),
        Source("shards", Arrangement.SPEECH, 0.1, "speech"),
        Source("shards", Arrangement.TEXT, 0.1, "text"),
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
        train=TrainConfig(steps=7000, batch_rows=2, text_weight=2.0),
        # a batch of two rows says little, so the mean of squares is over more of them than is usual
        optim=OptimConfig(
            peak_lr=3e-3, warmup_steps=80, schedule=Schedule.COSINE, final_lr_fraction=0.02, b2=0.99
        ),
        checkpoint=CheckpointConfig(init_from="base", every_steps=1000),
    )
