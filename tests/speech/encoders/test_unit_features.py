"""The features that units are codes of."""

import numpy as np
import pytest

from spirit_jax.codec_training.fit_codec import fit_codec
from spirit_jax.speech.encoders.hubert import Hubert
from spirit_jax.speech.encoders.hubert_units import HubertUnits
from spirit_jax.speech.quantizers.kmeans import nearest
from spirit_jax.speech.segments import Sounds
from tests.speech.tiny_codec import tiny_networks
from tests.speech.tiny_encoders import TINY, random_encoder


def wavs():
    rng = np.random.default_rng(0)
    return [np.cumsum(rng.normal(size=n)).astype(np.float32) / 300 for n in (5000, 16_000, 9001)]


def test_of_hubert_they_are_its_states_and_the_quantizer_gives_the_units():
    cfg = TINY
    encoder = HubertUnits(Hubert(random_encoder(cfg), 1), tiny_networks()["quantizer"])
    features = encoder.features(Sounds(wavs()))
    units = encoder.encode(Sounds(wavs()))
    for found, again in zip(encoder.quantizer.quantize(features), units):
        np.testing.assert_array_equal(found, again)
    assert [len(one) for one in features] == [encoder.count_units(len(wav)) for wav in wavs()]


def test_of_the_codec_without_weights_most_units_are_the_nearest_to_them():
    """Not all: a change of unit has a cost."""
    encoder = fit_codec(wavs(), 8, expressive=False, seed=0).unit_encoder
    features, units = encoder.features(Sounds(wavs())), encoder.encode(Sounds(wavs()))
    assert [len(one) for one in features] == [len(one) for one in units]
    near = np.concatenate([nearest(one, encoder.mfcc_units["centroids"])[0] for one in features])
    assert np.mean(near == np.concatenate(units)) > 0.5


@pytest.mark.parametrize("wav", wavs(), ids=len)
def test_they_are_the_same_alone_and_among_others(wav):
    encoder = fit_codec(wavs(), 8, expressive=False, seed=0).unit_encoder
    among = [one for one, other in zip(encoder.features(Sounds(wavs())), wavs()) if len(other) == len(wav)]
    np.testing.assert_allclose(encoder.features(Sounds([wav]))[0], among[0], atol=1e-5)
