"""The distilled style classifier: 100 codes at 1 Hz. Name teacher and student by `--set`: folders of wav2vec
2.0 or HuBERT models at 50 Hz.
"""

from spirit_jax.codec_training.config import StepsConfig, StyleRun


def config() -> StyleRun:
    """10,000 steps of 32 rows of 4 s: a choice."""
    return StyleRun(
        train=StepsConfig(steps=10_000, batch_rows=32, evaluate_every=1000),
        teacher="teacher",
        student="student",
    )
