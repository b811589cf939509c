import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.speech.encoders.wav2vec2.batches import last_state
from spirit_jax.speech.encoders.wav2vec2.config import ConvShape
from spirit_jax.speech.encoders.wav2vec2.network import PositionConv
from spirit_jax.speech.kernels.wav2vec2_forms import SpectralPositionConv, for_cpu, for_gpu
from tests.speech.tiny_encoders import PRE_NORM, TINY, Varied, noisy_rows, own_frames, random_encoder

HALVING = (
    ConvShape(8, 3, 2),
    ConvShape(8, 10, 5),
    ConvShape(12, 3, 2),
    ConvShape(10, 3, 2),
    ConvShape(12, 2, 2),
)


@pytest.mark.parametrize("taps", [1, 2, 5, 8])
@pytest.mark.parametrize("time", [1, 7, 8, 9, 40])
def test_spectra_are_a_convolution(taps, time):
    conv = PositionConv(Varied(taps), dataclasses.replace(TINY, position_taps=taps))
    x_BTD = jnp.asarray(np.random.default_rng(time).normal(size=(3, time, TINY.width)), jnp.float32)
    np.testing.assert_allclose(SpectralPositionConv(conv)(x_BTD), conv(x_BTD), atol=5e-6)


@pytest.mark.parametrize(
    "cfg", [TINY, dataclasses.replace(TINY, convs=HALVING), dataclasses.replace(PRE_NORM, convs=HALVING)]
)
def test_fast_forms_are_the_same_function(cfg):
    encoder = random_encoder(cfg)
    wav_BS, counts_B = noisy_rows(cfg, 20_000, 3_000)
    states = [
        own_frames(encoder.cfg, last_state(form, wav_BS, counts_B), (20_000, 3_000))
        for form in (encoder, for_cpu(encoder), for_gpu(encoder))
    ]
    for fast in states[1:]:
        np.testing.assert_allclose(fast, states[0], atol=2e-5)
    assert type(encoder.positions) is PositionConv
