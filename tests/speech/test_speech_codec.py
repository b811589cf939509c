import dataclasses
import json

import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.speech import segments as pieces
from spirit_jax.speech.audio import BadAudio
from spirit_jax.speech.codec import load_codec
from spirit_jax.speech.decoders.hifigan import Generator
from spirit_jax.speech.decoders.hifigan_synthesis import predict
from spirit_jax.speech.encoders.pitch.vqvae import PitchVqVae
from spirit_jax.speech.encoders.style.classifier import StyleEncoder
from spirit_jax.speech.encoders.wav2vec2.config import ConvShape
from spirit_jax.speech.encoders.wav2vec2.network import Wav2Vec2
from spirit_jax.speech.quantizers.linear import KmeansQuantizer
from spirit_jax.speech.speech_codec import Parts, SpeechCodec, Variant, check_rates
from spirit_jax.tokens.streams import SpeechTokens, SpokenUnits
from tests.speech.synthetic import babble
from tests.speech.tiny_codec import (
    AT_50_HZ,
    MANNERS,
    PITCH,
    PITCHES,
    SPEAKERS,
    STYLES,
    UNITS,
    VOCODER,
    tiny_codec,
    tiny_parts,
)
from tests.speech.tiny_encoders import Varied


def streams(speech):
    return [stream for stream in (speech.units, speech.pitch, speech.style) if stream is not None]


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("codec") / "codec"
    tiny_codec().save(folder)
    return folder


def test_sizes():
    codec, base = tiny_codec(), tiny_codec(Variant.BASE)
    assert (codec.unit_count, codec.pitch_count, codec.style_count) == (UNITS + 1, PITCHES, STYLES)
    assert (base.unit_count, base.pitch_count, base.style_count) == (UNITS + 1, 0, 0)
    assert codec.rates == {"units": 25.0, "pitch": 12.5, "style": 1.0}
    assert base.rates == {"units": 25.0}
    assert codec.fingerprint != base.fingerprint


def test_a_wav_gives_the_same_codes_alone_and_in_company():
    wavs = [babble(seconds, seed=i)[0] for i, seconds in enumerate((0.3, 2.5, 1.71, 0.08))]
    for wav, together in zip(wavs, tiny_codec().encode(wavs)):
        alone = tiny_codec().encode(wav)
        assert len(streams(alone)) == 3
        for a, b in zip(streams(alone), streams(together)):
            np.testing.assert_array_equal(a, b)


def test_lengths_of_the_streams():
    speech = tiny_codec().encode(babble(2.5, seed=0)[0])
    assert abs(len(speech.units) - 62) <= 1
    assert len(speech.units) == tiny_codec().count_units(40_000)
    assert len(speech.pitch) == (40_000 // 80 + 1) // 16
    assert len(speech.style) == 3
    assert tiny_codec(Variant.BASE).encode(babble(2.5, seed=0)[0]).pitch is None


def test_short_silent_and_broken_sounds():
    for length in (0, 1, 399, 1279):
        speech = tiny_codec().encode(np.ones(length, np.float32))
        assert [len(stream) for stream in streams(speech)] == [0, 0, 0]
    silence, sound = tiny_codec().encode([np.zeros(16_000, np.float32), babble(1.0, seed=1)[0]])
    assert len(silence.units) == len(sound.units)
    assert len(silence.pitch) == len(sound.pitch) > 0
    for sample, says in ((np.nan, "not_finite: 1 of"), (1e19, "too_loud")):
        with pytest.raises(BadAudio, match=says):
            tiny_codec().encode(np.array([sample] + [0.1] * 1999, np.float32))


def test_two_channels_are_averaged():
    left, right = babble(0.7, seed=1)[0], babble(0.7, seed=2)[0]
    both, mean = tiny_codec(Variant.BASE).encode([np.stack([left, right]), (left + right) / 2])
    np.testing.assert_array_equal(both.units, mean.units)


def test_long_audio_is_cut_and_still_spoken(monkeypatch):
    monkeypatch.setattr(pieces, "PIECE_SECONDS", 1)
    wav = babble(5.02, seed=3)[0]
    whole, parts = (
        tiny_codec().encode(wav),
        tiny_codec().encode([wav[i : i + 16_000] for i in range(0, 80_000, 16_000)]),
    )
    for i, stream in enumerate(streams(whole)):  # the last 320 samples are dropped
        np.testing.assert_array_equal(stream, np.concatenate([streams(part)[i] for part in parts]))
    assert len(tiny_codec().decode(whole)) == 640 * len(whole.units)


def test_codes_keep_their_durations_and_spoken_units_get_theirs():
    codec, base = tiny_codec(), tiny_codec(Variant.BASE)
    units = np.array([3, 3, 3, 7, 7, 1])
    pitch, style = np.array([1, 1, 1, 4, 4, 2]), np.full(6, 2)
    assert len(codec.decode(SpeechTokens(units, pitch[::2], style[:1]))) == 640 * 6
    frames = predict(codec.parts.vocoder_expressive, [units])[0]
    assert len(codec.decode(SpokenUnits(units, pitch, style))) == 640 * frames.sum()
    assert len(base.decode(SpokenUnits(units))) == 640 * predict(base.parts.vocoder_base, [units])[0].sum()
    np.testing.assert_array_equal(base.decode(SpeechTokens(units)), base.decode(SpokenUnits(units)))


def test_speaker_and_style():
    base, units = tiny_codec(Variant.BASE), SpokenUnits(np.array([3, 7]))
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
    wav = codec.decode(SpokenUnits(units))
    assert len(wav) == len(codec.decode(SpokenUnits(units, np.zeros(4))))
    np.testing.assert_array_equal(
        codec.decode(SpokenUnits(units, np.zeros(4))),
        codec.decode(SpokenUnits(units, np.zeros(4), np.full(4, STYLES - 1))),
    )
    assert len(codec.decode(SpeechTokens(units))) == 640 * 4


def test_the_blank_is_spoken_as_its_neighbour():
    base = tiny_codec(Variant.BASE)
    np.testing.assert_array_equal(
        base.decode(SpokenUnits(np.array([3, UNITS, 5]))), base.decode(SpokenUnits(np.array([3, 3, 5])))
    )
    silence = base.decode(SpeechTokens(np.full(3, UNITS)))
    assert len(silence) == 3 * 640
    assert not silence.any()
    assert len(base.decode(SpeechTokens(np.zeros(0)))) == 0


def test_codes_out_of_range_are_named():
    for codes, says in (
        ((np.array([UNITS + 1]),), "units code = 21"),
        ((np.array([1]), np.array([PITCHES])), "pitch code = 12"),
    ):
        with pytest.raises(UserError, match=says):
            tiny_codec().decode(SpokenUnits(*codes))
    with pytest.raises(UserError, match="pitch code = 1: this codec has no pitch codes"):
        tiny_codec(Variant.BASE).decode(SpokenUnits(np.array([1]), np.array([1])))


def test_a_vocoder_of_units_stands_in():
    codec = SpeechCodec.assemble(dataclasses.replace(tiny_parts(), vocoder_expressive=None))
    units = np.array([3, 3, 7])
    np.testing.assert_array_equal(
        codec.decode(SpokenUnits(units, units, units)), tiny_codec(Variant.BASE).decode(SpokenUnits(units))
    )
    mute = SpeechCodec.assemble(dataclasses.replace(tiny_parts(), vocoder_expressive=None, vocoder_base=None))
    for speak in (lambda: mute.decode(SpokenUnits(units)), lambda: mute.check_voice(None, None)):
        with pytest.raises(UserError, match="codec vocoder = None"):
            speak()
    assert mute.fingerprint == codec.fingerprint == tiny_codec().fingerprint


def test_a_stored_codec_is_the_same(stored):
    wav = babble(1.2, seed=8)[0]
    for variant, loaded in (
        (Variant.EXPRESSIVE, load_codec(stored)),
        (Variant.BASE, SpeechCodec.load(stored, "base")),
    ):
        codec = tiny_codec(variant)
        assert loaded.fingerprint == codec.fingerprint
        speech = loaded.encode_batch([wav])[0]
        for a, b in zip(streams(speech), streams(codec.encode(wav)), strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(loaded.decode(speech), codec.decode(speech))


def test_loading_and_saving_again_loses_no_part(stored, tmp_path):
    parts = dataclasses.replace(load_codec(stored).parts, style=None)
    SpeechCodec.assemble(parts).save(tmp_path / "codec")
    again = load_codec(tmp_path / "codec")
    assert again.variant is Variant.BASE
    assert (
        SpeechCodec.assemble(dataclasses.replace(again.parts, style=tiny_parts().style)).fingerprint
        == tiny_codec().fingerprint
    )
    assert again.parts.vocoder_base is not None
    assert again.parts.vocoder_expressive is not None


def test_parts_that_do_not_belong_together():
    parts = tiny_parts()
    fewer = Generator(dataclasses.replace(VOCODER, units=7), Varied(0))
    for changes, says in (
        ({"vocoder_base": fewer}, "vocoder_base units = 7"),
        ({"vocoder_base": parts.vocoder_expressive}, "vocoder_base = with pitch"),
        (
            {"vocoder_base": Generator(dataclasses.replace(VOCODER, sample_rate=22_050), Varied(0))},
            "sampling_rate = 22050",
        ),
    ):
        with pytest.raises(UserError, match=says):
            dataclasses.replace(parts, **changes)
    with pytest.raises(UserError, match="variant = expressive"):
        SpeechCodec.assemble(Parts(parts.hubert, parts.quantizer), Variant.EXPRESSIVE)


def test_k_means_has_no_blank_that_a_vocoder_could_leave_out():
    parts, width = tiny_parts(), tiny_parts().quantizer.width
    dataclasses.replace(parts, quantizer=KmeansQuantizer(np.zeros((UNITS, width), np.float32)))
    with pytest.raises(UserError, match=f"vocoder_base units = {UNITS}"):
        dataclasses.replace(parts, quantizer=KmeansQuantizer(np.zeros((UNITS + 1, width), np.float32)))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rates": (20, 16)}, "upsample_rates' product = 320: must be 640"),
        ({"hop": 320}, "code_hop_size = 320: must be 640"),
        ({"pitch_hop": 640}, "f0_hop_size = 640: must be 1280"),
        ({"style_hop": 320}, "style_hop_size = 320: must be 16000"),
    ],
)
def test_a_vocoder_of_other_times_is_told(changes, says):
    check_rates(tiny_codec())
    vocoder = Generator(dataclasses.replace(tiny_parts().vocoder_expressive.cfg, **changes), Varied(5))
    with pytest.raises(UserError, match=f"vocoder_expressive {says}"):
        check_rates(SpeechCodec.assemble(dataclasses.replace(tiny_parts(), vocoder_expressive=vocoder)))


def test_encoders_of_other_rates_are_told():
    stack = dataclasses.replace(PITCH.encoder, downs=3)
    pitch = PitchVqVae(dataclasses.replace(PITCH, encoder=stack, decoder=stack), Varied(1))
    slow = dataclasses.replace(AT_50_HZ, convs=(*AT_50_HZ.convs[:2], ConvShape(6, 4, 4)))
    style = StyleEncoder(Wav2Vec2(Varied(2), slow), tiny_parts().style.head)
    for part, says in (
        ({"pitch": pitch}, "pitch VQ-VAE codes a second = 25.0"),
        ({"style": style}, "style encoder codes a second = 0.5"),
    ):
        with pytest.raises(UserError, match=says):
            check_rates(SpeechCodec.assemble(dataclasses.replace(tiny_parts(), **part)))


def test_without_a_duration_predictor_a_spoken_unit_lasts_a_frame():
    vocoders = {
        f"vocoder_{variant.value}": getattr(tiny_parts(), f"vocoder_{variant.value}") for variant in Variant
    }
    mute = {
        name: Generator(dataclasses.replace(vocoder.cfg, duration_width=0), Varied(5))
        for name, vocoder in vocoders.items()
    }
    units = np.array([3, 7, 7, 2, 5])
    for variant in Variant:
        codec = SpeechCodec.assemble(dataclasses.replace(tiny_parts(), **mute), variant)
        np.testing.assert_array_equal(codec.decode(SpokenUnits(units)), codec.decode(SpeechTokens(units)))
        assert len(codec.decode("[Hu3][Hu7]")) == 2 * 640
    pitch, style = np.array([1, 1, 4, 4, 2]), np.full(5, 2)
    np.testing.assert_array_equal(
        codec.decode(SpokenUnits(units, pitch, style)),
        codec.decode(SpeechTokens(units, pitch[::2], style[:1])),
    )


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "recording.wav").write_text("precious")
    with pytest.raises(UserError, match="other things"):
        tiny_codec().save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["recording.wav"]


def test_a_spoilt_folder_is_told(stored, tmp_path):
    about = json.loads((stored / "codec.json").read_text())
    (tmp_path / "codec.json").write_text(json.dumps(about))
    with pytest.raises(UserError, match="codec weights"):
        load_codec(tmp_path)
    (tmp_path / "codec.json").write_text(
        json.dumps({**about, "parts": {"hubert": {"kind": "oracle", "sizes": {}}, "quantizer": {}}})
    )
    with pytest.raises(UserError, match="oracle"):
        load_codec(tmp_path)
    with pytest.raises(UserError, match="variant = sung"):
        SpeechCodec.load(stored, "sung")


def test_a_token_string_is_spoken_as_its_units():
    codec = tiny_codec()
    said = codec.decode("[St1][Pi2][Hu3][Hu5][Pi0][Hu5]")
    np.testing.assert_array_equal(said, codec.decode(SpokenUnits([3, 5, 5], [2, 2, 0], [1, 1, 1])))
    assert len(codec.decode("[Hu3][Hu5]")), "style that isn't said is the codec's own choice"
    with pytest.raises(UserError, match="style code = 99"):
        codec.decode("[St99][Hu3]")
