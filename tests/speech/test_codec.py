import dataclasses

import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.speech import segments
from spirit_jax.speech.audio import BadAudio
from spirit_jax.speech.codec import Codec
from spirit_jax.speech.decoders.durations import predict
from spirit_jax.speech.encoders.pitch.vqvae import PitchVqVae
from spirit_jax.speech.encoders.pitch.vqvae_pitch import VqvaePitch
from spirit_jax.tokens.streams import Stream
from spirit_jax.tokens.strings import render
from tests.speech.synthetic import babble
from tests.speech.tiny_codec import MANNERS, PITCH, PITCHES, SPEAKERS, STYLES, UNITS, tiny_codec, with_parts
from tests.speech.tiny_encoders import Varied
from tests.speech_codes import make_speech, make_spoken, make_streams


def streams(speech):
    return list(speech.codes.values())


def encode(codec, wavs):
    """Codes of one wav, or of each of a list."""
    return codec.encode_batch([wavs])[0] if isinstance(wavs, np.ndarray) else codec.encode_batch(wavs)


def test_the_table_of_streams():
    codec, base = tiny_codec(), tiny_codec("base")
    assert codec.streams == make_streams(UNITS + 1, PITCHES, STYLES)
    assert base.streams == codec.streams[:1]
    assert codec.fingerprint != base.fingerprint


def test_a_wav_gives_the_same_codes_alone_and_in_company():
    wavs = [babble(seconds, seed=i)[0] for i, seconds in enumerate((0.3, 2.5, 1.71, 0.08))]
    for wav, together in zip(wavs, encode(tiny_codec(), wavs)):
        alone = encode(tiny_codec(), wav)
        assert len(streams(alone)) == 3
        for a, b in zip(streams(alone), streams(together)):
            np.testing.assert_array_equal(a, b)


def test_lengths_of_the_streams():
    speech = encode(tiny_codec(), babble(2.5, seed=0)[0])
    assert abs(len(speech.units) - 62) <= 1
    assert len(speech.units) == tiny_codec().count_units(40_000)
    assert len(speech.codes["pitch"]) == (40_000 // 80 + 1) // 16
    assert len(speech.codes["style"]) == 3
    assert encode(tiny_codec("base"), babble(2.5, seed=0)[0]).codes.keys() == {"units"}


def test_short_silent_and_broken_sounds():
    for length in (0, 1, 399, 1279):
        speech = encode(tiny_codec(), np.ones(length, np.float32))
        assert [len(stream) for stream in streams(speech)] == [0, 0, 0]
    silence, sound = encode(tiny_codec(), [np.zeros(16_000, np.float32), babble(1.0, seed=1)[0]])
    assert len(silence.units) == len(sound.units)
    assert len(silence.codes["pitch"]) == len(sound.codes["pitch"]) > 0
    for sample, says in ((np.nan, "not_finite: 1 of"), (1e19, "too_loud")):
        with pytest.raises(BadAudio, match=says):
            encode(tiny_codec(), np.array([sample] + [0.1] * 1999, np.float32))


def test_two_channels_are_averaged():
    left, right = babble(0.7, seed=1)[0], babble(0.7, seed=2)[0]
    both, mean = encode(tiny_codec("base"), [np.stack([left, right]), (left + right) / 2])
    np.testing.assert_array_equal(both.units, mean.units)


def test_long_audio_is_cut_and_still_spoken(monkeypatch):
    monkeypatch.setattr(segments, "SEGMENT_SECONDS", 1)
    wav = babble(5.02, seed=3)[0]
    whole, parts = (
        encode(tiny_codec(), wav),
        encode(tiny_codec(), [wav[i : i + 16_000] for i in range(0, 80_000, 16_000)]),
    )
    for i, stream in enumerate(streams(whole)):  # the last 320 samples are dropped
        np.testing.assert_array_equal(stream, np.concatenate([streams(part)[i] for part in parts]))
    assert len(tiny_codec().decode(whole)) == 640 * len(whole.units)


def test_codes_keep_their_durations_and_spoken_units_get_theirs():
    codec, base = tiny_codec(), tiny_codec("base")
    units = np.array([3, 3, 3, 7, 7, 1])
    pitch, style = np.array([1, 1, 1, 4, 4, 2]), np.full(6, 2)
    assert len(codec.decode(make_speech(units, pitch[::2], style[:1]))) == 640 * 6
    frames = predict(codec.decoder.vocoder, [units])[0]
    assert len(codec.decode(make_spoken(units, pitch, style))) == 640 * frames.sum()
    assert len(base.decode(make_spoken(units))) == 640 * predict(base.decoder.vocoder, [units])[0].sum()
    np.testing.assert_array_equal(base.decode(make_speech(units)), base.decode(make_spoken(units)))


def test_speaker_and_style():
    base, units = tiny_codec("base"), make_spoken(np.array([3, 7]))
    usual = base.decode(units)
    np.testing.assert_array_equal(usual, base.decode(units, speaker=2, style=MANNERS - 1))
    assert not np.array_equal(usual, base.decode(units, speaker=0))
    assert not np.array_equal(usual, base.decode(units, style=0))
    with pytest.raises(UserError, match="speaker = 3: must be 0 to 2"):
        base.decode(units, speaker=SPEAKERS)
    with pytest.raises(UserError, match="speaker = 1.5: must be 0 to 2"):
        base.decode(units, speaker=1.5)
    with pytest.raises(UserError, match="style id = 1"):
        tiny_codec().decode(units, style=1)


def test_what_is_not_said_is_chosen():
    codec, units = tiny_codec(), np.array([3, 7, 7, 2])
    wav = codec.decode(make_spoken(units))
    assert len(wav) == len(codec.decode(make_spoken(units, np.zeros(4))))
    np.testing.assert_array_equal(
        codec.decode(make_spoken(units, np.zeros(4))),
        codec.decode(make_spoken(units, np.zeros(4), np.full(4, STYLES - 1))),
    )
    assert len(codec.decode(make_speech(units))) == 640 * 4


def test_the_blank_is_spoken_as_its_neighbour():
    base = tiny_codec("base")
    np.testing.assert_array_equal(
        base.decode(make_spoken(np.array([3, UNITS, 5]))), base.decode(make_spoken(np.array([3, 3, 5])))
    )
    silence = base.decode(make_speech(np.full(3, UNITS)))
    assert len(silence) == 3 * 640
    assert not silence.any()
    assert len(base.decode(make_speech(np.zeros(0)))) == 0


def test_codes_out_of_range_are_named():
    for codes, says in (
        ((np.array([UNITS + 1]),), "units code = 21"),
        ((np.array([1]), np.array([PITCHES])), "pitch code = 12"),
    ):
        with pytest.raises(UserError, match=says):
            tiny_codec().decode(make_spoken(*codes))
    with pytest.raises(UserError, match="pitch code = 1: this codec has no pitch codes"):
        tiny_codec("base").decode(make_spoken(np.array([1]), np.array([1])))


def test_a_vocoder_of_units_stands_in():
    codec = with_parts(vocoder_expressive=None)
    units = np.array([3, 3, 7])
    np.testing.assert_array_equal(
        codec.decode(make_spoken(units, units, units)), tiny_codec("base").decode(make_spoken(units))
    )


def test_a_codec_without_a_decoder_only_encodes():
    mute = with_parts(vocoder_expressive=None, vocoder_base=None)
    for speak in (lambda: mute.decode(make_spoken([3])), lambda: mute.check_voice(None, None)):
        with pytest.raises(UserError, match="codec decoder = None"):
            speak()
    assert mute.fingerprint == tiny_codec().fingerprint


def test_a_decoder_is_exchanged_without_touching_the_fingerprint():
    other = dataclasses.replace(tiny_codec(), decoder=with_parts(vocoder_expressive=None).decoder)
    assert other.fingerprint == tiny_codec().fingerprint
    assert other.streams == tiny_codec().streams


def test_an_encoder_is_added_and_replaced_in_the_published_order():
    codec, base = tiny_codec(), tiny_codec("base")
    _, pitch, style = codec.encoders
    both = base.replace_encoder(style).replace_encoder(pitch)
    assert [stream.name for stream in both.streams] == ["units", "pitch", "style"]
    assert both.fingerprint == codec.fingerprint
    assert both.decoder is None, "a decoder of units alone was made for another table"
    again = codec.replace_encoder(VqvaePitch(PitchVqVae(PITCH, Varied(9))))
    assert again.fingerprint != codec.fingerprint
    assert again.decoder is codec.decoder


def test_two_streams_are_a_codec():
    codec = with_parts(style=None)
    wav = babble(1.2, seed=8)[0]
    speech = encode(codec, wav)
    assert list(speech.codes) == ["units", "pitch"]
    np.testing.assert_array_equal(speech.units, encode(tiny_codec(), wav).units)
    assert len(codec.decode(speech)) % 640 == 0, "by the vocoder of units: the other one needs style"


def test_an_encoder_of_its_own_kind_needs_no_other_code():
    """Every stream's rate, size and mark comes from its encoder."""

    @dataclasses.dataclass(frozen=True)
    class Loudness:
        stream = Stream("loudness", "Lo", 4, 5.0)

        def encode(self, sounds):
            levels = [np.sqrt(np.mean(np.square(wav))) for wav in sounds.wavs]
            return [np.full(-(-len(wav) // 3200), min(3, int(10 * x))) for wav, x in zip(sounds.wavs, levels)]

    codec = Codec((*tiny_codec("base").encoders, Loudness()))
    speech = encode(codec, 0.1 * np.sign(babble(1.0, seed=1)[0]))
    assert speech.codes["loudness"].tolist() == [1] * 5
    string = render(speech, codec.streams)
    assert string.startswith("[Lo1][Hu")
    np.testing.assert_array_equal(codec.read(string).codes["loudness"][:1], [1])


def test_a_token_string_is_spoken_as_its_units():
    codec = tiny_codec()
    said = codec.decode("[St1][Pi2][Hu3][Hu5][Pi0][Hu5]")
    np.testing.assert_array_equal(said, codec.decode(make_spoken([3, 5, 5], [2, 2, 0], [1, 1, 1])))
    assert len(codec.decode("[Hu3][Hu5]")), "without a style the codec uses its default"
    with pytest.raises(UserError, match="style code = 99"):
        codec.decode("[St99][Hu3]")
