import dataclasses

import jax
import numpy as np
import pytest

from spirit_jax.speech.decoders.hifigan import Generator
from spirit_jax.speech.decoders.hifigan_synthesis import Utterance, synthesize
from spirit_jax.speech.encoders.wav2vec2.batches import layer_output
from spirit_jax.speech.encoders.wav2vec2.config import ConvShape
from spirit_jax.speech.kernels.attention import Attention
from spirit_jax.speech.kernels.choice import fast_form, fastest
from spirit_jax.speech.kernels.convolution import GroupedConv
from tests.speech.decoders.test_hifigan import PLAIN
from tests.speech.tiny_encoders import (
    BATCH_NORM,
    PRE_NORM,
    TINY,
    Varied,
    noisy_rows,
    own_frames,
    random_encoder,
)

HALVING = (
    ConvShape(8, 3, 2),
    ConvShape(8, 10, 5),
    ConvShape(12, 3, 2),
    ConvShape(10, 3, 2),
    ConvShape(12, 2, 2),
)


@pytest.mark.parametrize("backend", ["cpu", "gpu", "tpu"])
@pytest.mark.parametrize(
    "cfg",
    [
        TINY,
        BATCH_NORM,
        dataclasses.replace(TINY, convs=HALVING),
        dataclasses.replace(PRE_NORM, convs=HALVING),
    ],
)
def test_fast_encoders_are_the_same_function(cfg, backend):
    encoder = random_encoder(cfg)
    wav_BS, counts_B = noisy_rows(cfg, 20_000, 3_000)
    plain, fast = (
        own_frames(cfg, layer_output(form, wav_BS, counts_B), (20_000, 3_000))
        for form in (encoder, fast_form(encoder, backend))
    )
    np.testing.assert_allclose(fast, plain, atol=2e-5)
    assert (type(encoder.positions), type(encoder.layers[0].attention)) == (GroupedConv, Attention)


def test_encoders_take_the_form_of_each_layer():
    fast = fast_form(random_encoder(dataclasses.replace(TINY, convs=HALVING)), "cpu")
    kinds = [type(conv).__name__ for conv in fast.convs.layers]
    assert kinds == ["StridedConv", "StridedConv", "HalvingConv", "HalvingConv", "StridedConv"]
    assert type(fast.positions).__name__ == "SpectralConv"
    assert {type(layer.attention).__name__ for layer in fast.layers} == {"AttentionByHead"}


def test_fast_vocoders_are_the_same_function():
    generator = Generator(dataclasses.replace(PLAIN, channels=128), Varied(0))
    fast = fast_form(generator, "cpu")
    convs = [fast.stages[0][1].paths[0][0], fast.stages[1][1].paths[0][0], fast.post]
    assert [type(conv).__name__ for conv in convs] == ["ToomCookConv", "Conv", "Conv"]
    utterances = [Utterance({"units": np.array([3, 4, 5, 5, 6])})]
    spoken = [synthesize(form, utterances)[0] for form in (fast, generator)]
    np.testing.assert_allclose(*spoken, atol=1e-5)


def test_the_fast_form_is_made_once(monkeypatch):
    encoder = random_encoder()
    assert fastest(encoder) is fastest(encoder)
    other = random_encoder()
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    assert type(fastest(other).positions) is GroupedConv
    assert fastest(other) is not other
