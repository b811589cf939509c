import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.speech.encoders.wav2vec2.batches import (
    TILES,
    encode,
    last_state,
    mix_down,
    normalize,
)
from tests.speech.tiny_encoders import AT_25_HZ, TINY, random_encoder, random_wavs


@pytest.fixture(scope="module")
def encoder():
    return random_encoder()


def test_alone_as_in_company_to_the_bit(encoder):
    wavs = random_wavs(3_000, 100_000, 40, 20_000, 0)
    together = encode(encoder, wavs)
    assert [len(states_TD) for states_TD in together] == [TINY.frame_count(len(wav)) for wav in wavs]
    for states_TD, wav in zip(together, wavs):
        assert np.array_equal(states_TD, encode(encoder, [wav])[0])


def test_several_rows_a_call_as_one_by_one(encoder, monkeypatch):
    """As on an accelerator."""
    wavs = random_wavs(*range(2_000, 30_000, 4_000))
    alone = encode(encoder, wavs)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    for one, other in zip(alone, encode(encoder, wavs)):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_a_mixed_batch_compiles_four_times():
    encoder = random_encoder(AT_25_HZ)
    last_state.clear_cache()
    rng = np.random.default_rng(0)
    encode(encoder, random_wavs(*(int(16_000 * seconds) for seconds in rng.uniform(2, 20, 12))), 1)
    assert 1 < last_state._cache_size() <= 4


def test_the_norm_over_time_hears_the_last_samples(encoder):
    """Of a wav that fills its padded length, with samples left over that are no frame."""
    wav = random_wavs(TINY.most_samples(TILES[0] * TINY.tile))[0]
    wav[-TINY.hop // 2 :] *= 100
    size = TINY.most_samples(TILES[1] * TINY.tile)
    longer = last_state(encoder, jnp.asarray(np.pad(wav, (0, size - len(wav))))[None], jnp.array([len(wav)]))
    states_TD = encode(encoder, [wav])[0]
    np.testing.assert_allclose(states_TD, longer[0, : len(states_TD)], atol=2e-5)


def test_nothing_to_encode(encoder):
    assert encode(encoder, []) == []
    assert encode(encoder, random_wavs(10))[0].shape == (0, TINY.width)


def test_mix_down():
    assert np.array_equal(mix_down(np.array([[0.0, 1.0], [1.0, 0.0]])), np.array([0.5, 0.5], np.float32))
    assert mix_down(np.zeros(3, np.float16)).dtype == np.float32
    assert mix_down(np.zeros((2, 0))).shape == (0,)
    for shape in ((1, 1, 3), (3, 2), (0, 3)):
        with pytest.raises(UserError, match="channels, samples"):
            mix_down(np.zeros(shape))
    with pytest.raises(UserError, match="int16: must be float"):
        mix_down(np.zeros(3, np.int16))


def test_normalize():
    wav = normalize(3 + 0.01 * random_wavs(5_000)[0], 1e-7)
    assert abs(wav.mean()) < 1e-3
    assert wav.std() == pytest.approx(1, abs=0.06)  # the epsilon counts for so soft a wav
    assert normalize(np.zeros(0, np.float32), 1e-7).shape == (0,)
    assert np.array_equal(normalize(np.full(9, 2.0, np.float32), 1e-7), np.zeros(9, np.float32))
