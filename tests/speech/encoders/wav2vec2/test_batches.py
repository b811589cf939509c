import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.speech.encoders.wav2vec2.batches import (
    PADDED_LENGTHS,
    encode_wavs,
    layer_output,
)
from tests.speech.tiny_encoders import AT_25_HZ, BATCH_NORM, TINY, random_encoder, random_wavs


@pytest.fixture(scope="module")
def encoder():
    return random_encoder()


@pytest.mark.parametrize("cfg", [TINY, BATCH_NORM], ids=["weight_norm", "batch_norm"])
def test_alone_as_in_company_to_the_bit(cfg):
    encoder, wavs = random_encoder(cfg), random_wavs(3_000, 100_000, 40, 20_000, 0)
    together = encode_wavs(encoder, wavs)
    assert [len(states_TD) for states_TD in together] == [TINY.frame_count(len(wav)) for wav in wavs]
    for states_TD, wav in zip(together, wavs):
        assert np.array_equal(states_TD, encode_wavs(encoder, [wav])[0])


def test_several_rows_a_call_as_one_by_one(encoder, monkeypatch):
    """As on an accelerator."""
    wavs = random_wavs(*range(2_000, 30_000, 4_000))
    alone = encode_wavs(encoder, wavs)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    for one, other in zip(alone, encode_wavs(encoder, wavs)):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_a_mixed_batch_compiles_four_times():
    encoder = random_encoder(AT_25_HZ)
    layer_output.clear_cache()
    rng = np.random.default_rng(0)
    encode_wavs(encoder, random_wavs(*(int(16_000 * seconds) for seconds in rng.uniform(2, 20, 12))), 1)
    assert 1 < layer_output._cache_size() <= 4


def test_the_norm_over_time_hears_the_last_samples(encoder):
    """Of a wav that fills its padded length, with samples left over that are no frame."""
    wav = random_wavs(TINY.most_samples(PADDED_LENGTHS[0] * TINY.tile))[0]
    wav[-TINY.hop // 2 :] *= 100
    size = TINY.most_samples(PADDED_LENGTHS[1] * TINY.tile)
    longer = layer_output(
        encoder, jnp.asarray(np.pad(wav, (0, size - len(wav))))[None], jnp.array([len(wav)])
    )
    states_TD = encode_wavs(encoder, [wav])[0]
    np.testing.assert_allclose(states_TD, longer[0, : len(states_TD)], atol=2e-5)


def test_nothing_to_encode(encoder):
    assert encode_wavs(encoder, []) == []
    assert encode_wavs(encoder, random_wavs(10))[0].shape == (0, TINY.width)
