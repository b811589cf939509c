"""The pitch VQ-VAE of the open recipe nearest to the published model: 64 codes at 12.5 Hz. Small enough for a
CPU.
"""

from spirit_jax.codec_training.config import PitchRun, StepsConfig


def config() -> PitchRun:
    """20,000 steps of 16 rows: a choice; the open recipe counts epochs."""
    return PitchRun(train=StepsConfig(steps=20_000, batch_rows=16, evaluate_every=1000))
