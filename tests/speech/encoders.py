"""Small encoders with random weights."""

import dataclasses

import numpy as np

from spirit_jax.speech.wav2vec2 import ConvNorm, ConvShape, Wav2Vec2, Wav2Vec2Config

CONVS = (ConvShape(8, 10, 5), ConvShape(8, 8, 8), ConvShape(12, 5, 4))
SLOW_CONVS = (ConvShape(6, 20, 16), ConvShape(6, 12, 10), ConvShape(6, 4, 4))  # 25 frames a second
TINY = Wav2Vec2Config(CONVS, width=16, mlp_width=24, heads=2, layers=3, position_taps=6, position_groups=4)
AT_25_HZ = dataclasses.replace(TINY, convs=SLOW_CONVS, layers=1)
PRE_NORM = Wav2Vec2Config(
    CONVS, width=12, mlp_width=20, heads=3, layers=2, position_taps=5, position_groups=2,
    conv_norm=ConvNorm.LAYER, conv_bias=True, project=False, pre_norm=True,
)  # fmt: skip


def draw(rng: np.random.Generator):
    """Where an encoder takes random weights from: norms around 1, matrices scaled to keep the variance."""

    def take(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if len(shape) == 1:
            return rng.normal(float(name.endswith("weight")), 0.1, shape).astype(np.float32)
        return (1.5 * rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    return take


def random_encoder(cfg: Wav2Vec2Config = TINY, seed: int = 0) -> Wav2Vec2:
    return Wav2Vec2(draw(np.random.default_rng(seed)), cfg)


def random_wavs(*lengths: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 0.1, length).astype(np.float32) for length in lengths]
