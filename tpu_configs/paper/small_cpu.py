"""The paper's arms with a model of 1 M parameters, minutes a run on two CPU cores (`make paper-in-small`)."""

import dataclasses

from spirit_jax.config import CheckpointConfig, OptimConfig, RunConfig, Schedule, Source, TrainConfig
from spirit_jax.paper.experiment import Arm, Experiment
from spirit_jax.tokens.interleave import Arrangement
from tpu_configs.local import demo_base_cpu, demo_expressive_cpu

STEPS = 3000
ALIGNED_SHARES = (0.01, 0.05, 0.25)  # of the aligned records, besides none and all
THIRD = 1 / 3
# From a model that knows its texts already, text alone is ended by the guard at the common rate, 2e-3, and at
# half of it, in some runs: the gradients of the first layer's attention to BOS grow at once.
TEXT_RATE = "optim.peak_lr=2.5e-4"


def config() -> Experiment:
    """Mixtures by tokens as in the paper (table 2): thirds of speech, of text, and of what has both."""
    return Experiment(common_run(), (*ablations(), *aligned_shares(), *variants()))


def common_run() -> RunConfig:
    """What all arms share. Spans are as short as the sentences of the corpus. At the demo's rate, 3e-3 after
    40 steps, interleaving diverges in some runs.
    """
    demo = demo_base_cpu.config()
    data = dataclasses.replace(
        demo.data,
        tokenizer="base/tokenizer",
        codec="base/codec",
        sources=mixed(Arrangement.INTERLEAVED),
        validation=(),
        speech_first=0.5,
    )
    return dataclasses.replace(
        demo,
        data=data,
        train=TrainConfig(steps=STEPS, batch_rows=4),
        optim=OptimConfig(peak_lr=2e-3, warmup_steps=200, schedule=Schedule.COSINE, final_lr_fraction=0.02),
        checkpoint=CheckpointConfig(init_from="base/base", every_steps=600, keep_last=1),
    )


def ablations() -> tuple[Arm, ...]:
    """The paper's table 6."""
    asr, tts = Arrangement.ASR, Arrangement.TTS
    return (
        Arm("interleaved", "interleaved (Base)", mixed(Arrangement.INTERLEAVED), aligned=1.0),
        Arm("interleaved_pairs", "interleaved + ASR + TTS", mixed(Arrangement.INTERLEAVED, asr, tts)),
        Arm("pairs", "ASR + TTS", mixed(asr, tts)),
        Arm("word_transcription", "word-level transcription", mixed(Arrangement.WORD_TRANSCRIPTION)),
        Arm("no_interleaving", "no interleaving", mixed(), aligned=0.0),
        Arm("speech_only", "speech only", of_one(Arrangement.SPEECH)),
        Arm("text_only", "text only, an eighth of the rate", of_one(Arrangement.TEXT), (TEXT_RATE,)),
    )


def aligned_shares() -> tuple[Arm, ...]:
    """The paper's figure 3: fewer aligned records, in the same share of the tokens."""
    return tuple(
        Arm(
            f"aligned_{100 * share:.0f}",
            f"interleaved, {share:.0%} of the aligned records",
            mixed(Arrangement.INTERLEAVED, aligned=f"train[:{100 * share:.0f}%]"),
            aligned=share,
            tabled=False,
        )
        for share in ALIGNED_SHARES
    )


def variants() -> tuple[Arm, ...]:
    """Expressive (table 4), and spans of other lengths (appendix A)."""
    expressive = (
        f"model.rows={demo_expressive_cpu.config().model.rows}",
        'data.codec="expressive/codec"',
        'checkpoint.init_from="expressive/base"',
    )
    sources = mixed(Arrangement.INTERLEAVED, shards="expressive/shards")
    return (
        Arm("expressive", "interleaved (Expressive)", sources, expressive, "expressive"),
        Arm(
            "short_spans",
            "interleaved, spans of 1 to 3 words",
            mixed(Arrangement.INTERLEAVED),
            ("data.text_span_words=[1,3]", "data.speech_span_words=[1,3]"),
        ),
    )


def mixed(*both: Arrangement, aligned: str = "train", shards: str = "base/shards") -> tuple[Source, ...]:
    """A third of speech, a third of text, and a third of records in the arrangements `both`, which share it.
    Without any, the spoken records are speech and text apart.

    Each third of one modality has all its records: the transcripts are no part of the text, as in the paper.
    """
    alone = (
        Source(shards, Arrangement.SPEECH, THIRD / 2, "train"),
        Source(shards, Arrangement.SPEECH, THIRD / 2, "speech"),
        Source(shards, Arrangement.TEXT, THIRD, "text"),
    )
    third = both or (Arrangement.SPEECH, Arrangement.TEXT)
    return (*alone, *(Source(shards, one, THIRD / len(third), aligned) for one in third))


def of_one(arrangement: Arrangement) -> tuple[Source, ...]:
    """The records of one modality alone, in proportion to those of `mixed`."""
    other = "speech" if arrangement is Arrangement.SPEECH else "text"
    return (
        Source("base/shards", arrangement, 0.5, "train"),
        Source("base/shards", arrangement, 0.5, other),
    )
