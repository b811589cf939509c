"""The embedded encoder with a HiFi-GAN: the same units, another voice, whole on disk."""

import dataclasses

import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.speech.codec import Identity, load_codec, read_identity
from spirit_jax.speech.decoders.hifigan import Generator, GeneratorConfig
from spirit_jax.speech.embedded_codec import EmbeddedCodec
from spirit_jax.speech.vocoded_codec import VocodedCodec
from spirit_jax.tokens.streams import SpeechTokens, SpokenUnits
from tests.speech.synthetic import babble
from tests.speech.tiny_encoders import Varied

CFG = GeneratorConfig(
    rates=(20, 32),
    rate_kernels=(40, 64),
    channels=8,
    block_kind=2,
    block_kernels=(3,),
    block_dilations=((1,),),
    units=16,
    width=4,
    hop=640,
    pitches=64,
    styles=8,
    speakers=2,
    duration_width=6,
)


@pytest.fixture(scope="module")
def codec():
    encoder = EmbeddedCodec.train([babble(4, seed)[0] for seed in range(2)], units=16, expressive=True)
    return VocodedCodec(
        encoder, Generator(dataclasses.replace(CFG, styles=encoder.style_count), Varied(0)), ("a", "b"), 31, 2
    )


def test_units_are_the_encoders_and_last_forty_milliseconds(codec):
    wav = babble(2, 9)[0]
    (speech,), (same,) = codec.encode_batch([wav]), codec.encoder.encode_batch([wav])
    np.testing.assert_array_equal(speech.units, same.units)
    assert codec.fingerprint == codec.encoder.fingerprint
    assert (codec.rates, codec.pitch_count, codec.style_count) == (
        same_rates := codec.encoder.rates,
        64,
        codec.encoder.style_count,
    ), same_rates
    made = codec.decode(speech)
    assert made.shape == (640 * 50,)
    assert codec.count_units(len(wav)) == 50
    assert np.abs(made).max() > 1e-3
    assert not np.array_equal(made, codec.decode(speech, speaker=0))


def test_speech_without_pitch_and_style_takes_the_usual_ones(codec):
    units = np.array([3, 4, 5, 6, 7], np.int32)
    told = SpeechTokens(units, np.full(3, 31), np.full(1, 2))
    np.testing.assert_array_equal(codec.decode(SpeechTokens(units)), codec.decode(told))


def test_spoken_units_last_what_is_predicted(codec):
    spoken = SpokenUnits(np.array([3, 4, 3]), np.array([31, 30, 31]), np.array([1, 1, 2]))
    made = codec.decode(spoken)
    assert len(made) >= 3 * 640
    assert len(made) % 640 == 0
    assert len(codec.decode(SpeechTokens(np.zeros(0)))) == 0


def test_without_a_duration_predictor_spoken_units_last_a_frame(codec):
    mute = dataclasses.replace(
        codec, generator=Generator(dataclasses.replace(codec.generator.cfg, duration_width=0), Varied(0))
    )
    units = np.array([3, 4, 5, 6])
    np.testing.assert_array_equal(mute.decode(SpokenUnits(units)), mute.decode(SpeechTokens(units)))
    assert len(mute.decode("[Hu3][Hu4]")) == 2 * 640


def test_it_is_stored_whole(codec, tmp_path):
    codec.save(tmp_path / "codec")
    loaded = load_codec(tmp_path / "codec")
    assert (loaded.voices, loaded.usual_pitch, loaded.fingerprint) == (("a", "b"), 31, codec.fingerprint)
    assert read_identity(tmp_path / "codec") == Identity(
        codec.unit_count, codec.pitch_count, codec.style_count, codec.fingerprint
    )
    speech = SpeechTokens(np.arange(12) % 16)
    np.testing.assert_array_equal(loaded.decode(speech), codec.decode(speech))


def test_what_does_not_fit_is_refused(codec):
    with pytest.raises(UserError, match="units, pitches, styles"):
        VocodedCodec(codec.encoder, Generator(dataclasses.replace(CFG, units=15), Varied(0)))
    with pytest.raises(UserError, match="units code"):
        codec.decode(SpeechTokens(np.array([16])))
    with pytest.raises(UserError, match="speaker"):
        codec.decode(SpeechTokens(np.array([1])), speaker=7)
    with pytest.raises(UserError, match="style"):
        codec.decode(SpeechTokens(np.array([1])), style=0)
