"""The demo's base model: a small Llama pretrained on text alone, half a minute on two CPU cores (`make
demo`).
"""

from spirit_jax.config import (
    CheckpointConfig,
    DataConfig,
    Dtype,
    ModelConfig,
    OptimConfig,
    Remat,
    RunConfig,
    Schedule,
    Source,
    TrainConfig,
)
from spirit_jax.tokens.interleave import Arrangement
from spirit_jax.tokens.vocabulary import Vocabulary

TEXT_PIECES = 700


def config() -> RunConfig:
    """About 1 M parameters; many small updates beat few large ones at this size."""
    return RunConfig(
        model=ModelConfig(
            rows=Vocabulary.text_only(TEXT_PIECES).rows(),
            width=128,
            layers=4,
            heads=2,
            kv_heads=2,
            head_width=64,
            mlp_width=352,
            rope_theta=10_000.0,
            dtype=Dtype.FLOAT32,
            remat=Remat.NONE,
        ),
        data=DataConfig(
            tokenizer="tokenizer",
            sources=(Source("text_shards", Arrangement.TEXT, split="text"),),
            sequence_length=256,
        ),
        train=TrainConfig(steps=300, batch_rows=4),
        optim=OptimConfig(peak_lr=2e-3, warmup_steps=40, schedule=Schedule.COSINE, final_lr_fraction=0.1),
        checkpoint=CheckpointConfig(every_steps=300),
    )
