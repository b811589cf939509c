r"""The paper's arms with a model of 30 M parameters on a larger corpus, for one H200. Not run yet.

    make paper-in-small PAPER=runs/paper_large PAPER_CONFIG=tpu_configs/paper/large_h200_1.py \
      PAPER_PAGE=runs/paper_large.md PAPER_UTTERANCES=40000 SENTENCES=30000 STORIES=400 \
      TEXT_SET="model.width=512 model.layers=8 model.heads=8 model.kv_heads=8 model.mlp_width=1408 \
      train.batch_rows=32 train.steps=1000"

TEXT_SET makes the first model, which learns text, one of the same size.
"""

import dataclasses

from spirit_jax.config import Dtype, RunConfig, TrainConfig
from spirit_jax.paper.experiment import Experiment
from tpu_configs.paper import small_cpu


def config() -> Experiment:
    """The small experiment's arms with another common run."""
    return dataclasses.replace(small_cpu.config(), run=common_run(), records=256)


def common_run() -> RunConfig:
    """Larger rows and batches, since an accelerator would wait for small ones."""
    small = small_cpu.common_run()
    model = dataclasses.replace(
        small.model, width=512, layers=8, heads=8, kv_heads=8, mlp_width=1408, dtype=Dtype.BFLOAT16
    )
    return dataclasses.replace(
        small,
        model=model,
        data=dataclasses.replace(small.data, sequence_length=512),
        train=TrainConfig(steps=4000, batch_rows=64),
        optim=dataclasses.replace(small.optim, peak_lr=1e-3, warmup_steps=200),
    )
