import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.core import device_rows
from spirit_jax.speech.encoders.wav2vec2 import batches
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


def test_on_eight_devices_as_on_one_to_the_bit(encoder, monkeypatch):
    wavs = random_wavs(*range(2_000, 30_000, 1_300), 100_000, 30, 120_000)
    divided = encode_wavs(encoder, wavs, 2)
    monkeypatch.setattr(jax, "local_device_count", lambda: 1)
    for one, other in zip(divided, encode_wavs(encoder, wavs, 2), strict=True):
        assert np.array_equal(one, other)


def test_on_eight_devices_every_device_works(encoder, monkeypatch):
    used, run = [], batches.layer_output

    def record(*args, **options):
        used.append(run(*args, **options))
        return used[-1]

    monkeypatch.setattr(batches, "layer_output", record)
    encode_wavs(encoder, random_wavs(*[3_000] * 11))
    assert [len(states.sharding.device_set) for states in used] == [8, 8]
    encode_wavs(encoder, random_wavs(3_000))
    assert len(used[-1].sharding.device_set) == 1, "one wav takes no rows of padding"


@pytest.mark.parametrize("rows", [1, 3])
def test_a_full_device_gets_fewer_rows(encoder, monkeypatch, capsys, rows):
    wavs = random_wavs(*range(2_000, 30_000, 400))
    expected = encode_wavs(encoder, wavs)
    run = batches.layer_output

    def limited(encoder, wav_BS, counts_B, last, divided=False):
        if len(wav_BS) > rows * (8 if divided else 1):
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return run(encoder, wav_BS, counts_B, last, divided)

    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(batches, "layer_output", limited)
    monkeypatch.setattr(batches, "memory", device_rows.Memory("speech encoder", "tiles"))
    for one, other in zip(expected, encode_wavs(encoder, wavs)):
        np.testing.assert_allclose(one, other, atol=2e-5)
    assert "does not hold 16 rows of 5 tiles; going on with 8 at a time" in capsys.readouterr().err


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
