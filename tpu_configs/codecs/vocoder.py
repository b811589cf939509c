"""A HiFi-GAN of the published size with all of HiFi-GAN's discriminators: for an accelerator, mesh.fsdp over
all of its devices.
"""

from spirit_jax.codec_training.config import StepsConfig, VocoderRun


def config() -> VocoderRun:
    """500,000 steps of 16 rows: a choice; the open recipe counts epochs."""
    return VocoderRun(train=StepsConfig(steps=500_000, batch_rows=16, evaluate_every=5000))
