import numpy as np
import pytest

from spirit_jax.speech.encoders.style.classifier import (
    StyleEncoder,
    StyleHead,
    encode_style,
    last_states,
    pool,
)
from tests.speech.tiny_encoders import TINY, Varied, random_encoder, random_wavs


@pytest.fixture(scope="module")
def encoder():
    return StyleEncoder(random_encoder(), StyleHead(Varied(1), TINY.width, 6, 9))


@pytest.mark.parametrize("frames", [1, 49, 50, 51, 125])
def test_the_rest_counts_as_a_second(frames):
    states_TD = np.random.default_rng(0).normal(size=(frames, 3)).astype(np.float32)
    expected = [states_TD[i : i + 50].mean(0) for i in range(0, frames, 50)]
    np.testing.assert_allclose(pool(states_TD), expected, atol=1e-6)


def test_projection_and_mean_commute(encoder):
    states_TD = np.random.default_rng(0).normal(size=(70, TINY.width)).astype(np.float32)
    projected_TP = np.asarray(encoder.head.projector(states_TD[None])[0])
    means_NP, logits_NV = encoder.head(pool(states_TD))
    np.testing.assert_allclose(means_NP, [projected_TP[:50].mean(0), projected_TP[50:].mean(0)], atol=1e-5)
    assert logits_NV.shape == (2, encoder.style_count)


def test_codes(encoder):
    wavs = random_wavs(20_000, 100, 0, 5_000)
    codes = encode_style(encoder, wavs)
    assert [len(codes_N) for codes_N in codes] == [-(-TINY.frame_count(len(wav)) // 50) for wav in wavs]
    for codes_N, wav, states_TD in zip(codes, wavs, last_states(encoder, wavs)):
        assert np.array_equal(codes_N, encode_style(encoder, [wav])[0])
        assert (
            np.array_equal(codes_N, np.argmax(encoder.head(pool(states_TD))[1], axis=-1))
            if len(codes_N)
            else codes_N.dtype == np.int32
        )


def test_loudness_is_without_influence(encoder):
    wav = random_wavs(20_000)[0]
    quiet, loud = last_states(encoder, [wav, 5 * wav + 0.3])
    np.testing.assert_allclose(quiet, loud, atol=1e-3)
