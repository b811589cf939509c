"""What the recipes for Spirit LM on real accelerators share: model shapes, the paper's mixture and its
optimisation.

From the paper (appendix A): Llama-2-7B, rows of 4,096 tokens, 1 M tokens a step (4 rows on each of 64 GPUs),
learning rate 3e-5, constant after warm-up, 200 K steps with results at 100 K, RoPE θ 100,000, a third of the
tokens each of speech, aligned speech with text, and text. Choices of ours: the warm-up's length, Adam's
betas, decay and clipping (`spirit_jax.config.OptimConfig`), bfloat16 activations with float32 weights and
moments, packing with masks between documents, checkpoints' intervals, the type in which chips sum gradients,
and everything about Llama 3 and 1B.

Gradients are summed in float32 where that adds less than 3 % to the roofline: on v5p and on GPUs. On v5e, v4
and v6e it would add 9 to 23 %, so there chips sum the gradients of layers in bfloat16, with an error of 0.3
to 2 % of a gradient (docs/pods.md).
"""

import dataclasses

from spirit_jax.config import (
    CheckpointConfig,
    DataConfig,
    Dtype,
    MeshConfig,
    ModelConfig,
    OptimConfig,
    Remat,
    RopeScaling,
    RunConfig,
    Source,
    TrainConfig,
)
from spirit_jax.tokens.interleave import Arrangement
from spirit_jax.tokens.vocabulary import Vocabulary

LLAMA2_PIECES, LLAMA3_PIECES = 32_000, 128_256
ROWS = 256  # of 4,096 tokens: 1,048,576 tokens a step

LLAMA2_7B = ModelConfig(rows=Vocabulary.base(LLAMA2_PIECES).rows())
LLAMA3_8B = ModelConfig(  # of Llama 3.1; Llama 3 has no scaling
    rows=Vocabulary.base(LLAMA3_PIECES).rows(),
    kv_heads=8,
    mlp_width=14_336,
    rope_theta=500_000.0,
    rope_scaling=RopeScaling(factor=8.0),
)
LLAMA3_1B = ModelConfig(  # of Llama 3.2
    rows=Vocabulary.base(LLAMA3_PIECES).rows(),
    width=2048,
    layers=16,
    heads=32,
    kv_heads=8,
    head_width=64,
    mlp_width=8192,
    rope_theta=500_000.0,
    rope_scaling=RopeScaling(factor=32.0),
    tied=True,
)

DATA = DataConfig(
    tokenizer="tokenizer",
    codec="codec",
    sources=(
        Source("shards/speech", Arrangement.SPEECH, 1.0),
        Source("shards/aligned", Arrangement.INTERLEAVED, 1.0),
        Source("shards/text", Arrangement.TEXT, 1.0),
    ),
    validation=(Source("shards/aligned", Arrangement.INTERLEAVED, split="heldout"),),
)


def recipe(
    model: ModelConfig,
    mesh: MeshConfig,
    remat: Remat,
    accumulate: int = 1,
    rows: int = ROWS,
    reduce_dtype: Dtype = Dtype.FLOAT32,
) -> RunConfig:
    """A run of the paper's length on this mesh, from the weights in `base` (`make import-llama`).

    One record stream for each row, so that any mesh, on any number of hosts, can continue the run.
    """
    return RunConfig(
        model=dataclasses.replace(model, remat=remat),
        data=dataclasses.replace(DATA, streams=rows),
        train=TrainConfig(steps=100_000, batch_rows=rows, accumulate=accumulate, evaluate_every=5000),
        mesh=mesh,
        optim=OptimConfig(peak_lr=3e-5, warmup_steps=500, reduce_dtype=reduce_dtype),
        checkpoint=CheckpointConfig(init_from="base", every_steps=500, keep_last=2, keep_every=10_000),
    )


def expressive(base: RunConfig) -> RunConfig:
    """The same with the streams of Expressive."""
    rows = Vocabulary.expressive(LLAMA2_PIECES).rows()
    return dataclasses.replace(base, model=dataclasses.replace(base.model, rows=rows))
