"""A small HiFi-GAN for the demo's codec and voices, sized for two CPU cores (`make train-vocoder`). Its sizes
are choices.

Mel distance alone comes first, since the discriminators' steps take longer and teach little while the sound
is still noise.
"""

from spirit_jax.codec_training.config import (
    AdamConfig,
    DiscriminatorSizes,
    GeneratorSizes,
    StepsConfig,
    VocoderLoss,
    VocoderRun,
)
from spirit_jax.config import CheckpointConfig


def config() -> VocoderRun:
    """The units folder and the codec are set on the command line."""
    return VocoderRun(
        train=StepsConfig(steps=4000, batch_rows=4, evaluate_every=1000),
        generator=GeneratorSizes(
            rates=(8, 5, 4, 4),
            rate_kernels=(16, 11, 8, 8),
            channels=192,
            block_kind=2,
            block_kernels=(3, 7),
            block_dilations=((1, 3), (1, 3)),
            width=64,
            duration_width=64,
        ),
        discriminators=DiscriminatorSizes(
            periods=(2, 3, 5),
            period_channels=(8, 16, 32, 32),
            scales=1,
            scale_layers=((8, 15, 1, 1), (16, 21, 4, 1), (32, 21, 4, 1), (32, 5, 1, 1)),
        ),
        loss=VocoderLoss(adversarial_from=1500),
        optim=AdamConfig(rate=2e-3, decay=0.5, decay_steps=750),
        checkpoint=CheckpointConfig(every_steps=1000),
    )
