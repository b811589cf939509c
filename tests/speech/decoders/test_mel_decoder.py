"""A mel network as a decoder: durations, missing codes, blanks, voices, and encoders that do not fit."""

import dataclasses

import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.speech.codec_folder import load_codec, save_codec
from spirit_jax.speech.decoders.durations import predict
from spirit_jax.speech.decoders.mel_decoder import MelDecoder
from spirit_jax.speech.decoders.mel_network import MelNetwork, MelNetworkConfig, align, predict_frames
from spirit_jax.speech.weights.table import Table
from spirit_jax.tokens.streams import SpokenUnits, Stream, pitch_stream, style_stream, unit_stream
from tests.speech.synthetic import babble
from tests.speech.tiny_codec import PITCHES, STYLES, UNITS, tiny_codec
from tests.speech.tiny_encoders import Varied
from tests.speech_codes import make_speech, make_spoken

USUAL = {"pitch": 3, "style": 2, "speaker": 1}
SMALL = {"width": 16, "blocks": 2, "fine_width": 8, "duration_width": 8}


def network(streams, seed=0, spoken=UNITS, speakers=2, **sizes):
    return MelNetwork(MelNetworkConfig(streams, spoken, speakers, **SMALL | sizes), Varied(seed))


def codec(seed=0, **sizes):
    """The tiny codec of 20 units and a blank, pitch and style."""
    tiny = tiny_codec()
    return dataclasses.replace(
        tiny, decoder=MelDecoder(network(tiny.streams, seed, **sizes), USUAL, ("a", "b"))
    )


def spoken_codes(count=60, streams=("pitch", "style")):
    rng = np.random.default_rng(0)
    codes = {"pitch": rng.integers(0, PITCHES, count), "style": np.full(count, 2)}
    return SpokenUnits({"units": rng.integers(0, UNITS, count), **{name: codes[name] for name in streams}})


def test_units_of_an_utterance_last_forty_milliseconds():
    speech = make_speech(np.arange(50) % UNITS, np.arange(25) % PITCHES, [1, 2])
    made = codec().decode(speech)
    assert made.shape == (640 * 50,)
    assert np.abs(made).max() > 1e-3
    np.testing.assert_array_equal(made, codec().decode(speech, speaker=1))
    assert not np.array_equal(made, codec().decode(speech, speaker=0))
    assert len(codec().decode(make_speech(np.zeros(0)))) == 0


def test_the_voice_is_the_one_that_has_such_units():
    """Unless one is asked for. Voice 0 has only even units, voice 1 only odd ones."""
    even = np.where(np.arange(UNITS) % 2, -9.0, -1.0)
    table = Table(log_shares=np.stack([even, np.roll(even, 1)]).astype(np.float32))
    made = codec()
    made = dataclasses.replace(made, decoder=dataclasses.replace(made.decoder, voice_units=table))
    evens, odds = make_speech([2, 4, 3, 8], [1, 1], [0]), make_speech([1, 5, 9, 4], [1, 1], [0])
    for speech, voice in ((evens, 0), (odds, 1)):
        np.testing.assert_array_equal(made.decode(speech), made.decode(speech, speaker=voice))
        assert not np.array_equal(made.decode(speech), made.decode(speech, speaker=1 - voice))
    spoken = SpokenUnits({"units": np.array([1, 5, 9, 3])})
    np.testing.assert_array_equal(made.decode(spoken), made.decode(spoken, speaker=1))


@pytest.mark.parametrize("streams", [("pitch",), ("style",), ()])
def test_speech_without_a_stream_takes_its_usual_code(streams):
    given, units = spoken_codes(streams=streams), spoken_codes().units
    usual = {name: np.full(60, code) for name, code in USUAL.items() if name != "speaker"}
    whole = SpokenUnits({**usual, **given.codes})
    np.testing.assert_array_equal(codec().decode(given), codec().decode(whole))
    short = make_speech(units[:12])
    full = make_speech(units[:12], np.full(6, USUAL["pitch"]), np.full(1, USUAL["style"]))
    np.testing.assert_array_equal(codec().decode(short), codec().decode(full))


def test_every_stream_is_heard():
    made, units = codec(), np.arange(30) % UNITS
    sounds = [
        made.decode(make_speech(units, np.full(15, pitch), np.full(2, style)))
        for pitch, style in ((1, 1), (2, 1), (1, 2))
    ]
    assert not np.array_equal(sounds[0], sounds[1])
    assert not np.array_equal(sounds[0], sounds[2])


def test_spoken_units_last_what_is_predicted():
    made, spoken = codec(), spoken_codes()
    frames_N = predict(made.decoder.mel_network, [spoken.units])[0]
    assert len(set(frames_N)) > 1
    assert len(made.decode(spoken)) == 640 * frames_N.sum()


@pytest.mark.parametrize("cuts", [(0, 60), (0, 1, 2, 59, 60), (0, 20, 21, 45, 60)])
def test_sections_together_are_the_whole_sound(cuts):
    made, spoken = codec(), spoken_codes()
    sections = [made.decode_section(spoken, *pair) for pair in zip(cuts, cuts[1:])]
    np.testing.assert_array_equal(np.concatenate(sections), made.decode(spoken))
    assert made.count_settled(spoken) == 0


def test_blanks_become_the_unit_before_them():
    made, blank = codec(), UNITS
    given, filled = [blank, 3, blank, 7, 7, blank], [7, 3, 3, 7, 7, 7]
    np.testing.assert_array_equal(made.decode(make_speech(given)), made.decode(make_speech(filled)))
    np.testing.assert_array_equal(made.decode(make_spoken(given)), made.decode(make_spoken(filled)))
    for silence in (made.decode(make_speech([blank] * 3)), made.decode(make_spoken([blank] * 3))):
        assert silence.shape == (3 * 640,)
        assert not silence.any()
    section = made.decode_section(make_spoken([blank] * 3), 1, 3)
    assert section.shape == (2 * 640,)


def test_an_utterance_is_the_same_in_any_bucket():
    """Past its end nothing counts: up to rounding, since another length is another program."""
    made = network(tiny_codec().streams)
    codes = align(made.cfg.streams, make_speech(np.arange(33) % UNITS, [1, 4] * 9, [1, 2]).codes)
    codes["speaker"] = np.array(1, np.int32)
    mel_FM, f0_F = predict_frames(made, codes)
    assert mel_FM.shape == (4 * 33, 64)
    assert f0_F.shape == (4 * 33,)
    first = {name: values[:20] if values.ndim else values for name, values in codes.items()}
    again = {name: np.resize(values, 60) if values.ndim else values for name, values in first.items()}
    reach = 2 * made.cfg.blocks + 2
    for longer in (codes, again):
        near, far = predict_frames(made, first)[0], predict_frames(made, longer)[0]
        np.testing.assert_allclose(near[: 4 * (20 - reach)], far[: 4 * (20 - reach)], atol=1e-4)


@pytest.mark.parametrize("rate", [25.0, 50.0, 12.5, 100.0, 100 / 3])
def test_units_of_other_rates_last_as_long_as_they_stand_for(rate):
    streams = (unit_stream(UNITS, rate), pitch_stream(5, rate / 2))
    decoder = MelDecoder(network(streams, speakers=0), {"pitch": 1})
    decoder.check_streams(streams, UNITS)
    made = decoder.speak(make_speech(np.arange(40) % UNITS, np.arange(20) % 5), None, None)
    assert len(made) == 40 * round(16_000 / rate)


def test_streams_of_any_name_are_heard():
    streams = (unit_stream(UNITS, 25.0), Stream("emphasis", "Em", 4, 25.0))
    decoder = MelDecoder(network(streams, speakers=0), {"emphasis": 0})
    sounds = [
        decoder.speak_units(SpokenUnits({"units": np.arange(9), "emphasis": np.full(9, code)}), None, None)
        for code in (0, 3)
    ]
    assert not np.array_equal(*sounds)


def test_units_that_are_no_whole_frames_are_refused():
    with pytest.raises(UserError, match="samples a unit = 240: must stand for a multiple of the 160"):
        network((unit_stream(UNITS, 16_000 / 240),))
    with pytest.raises(UserError, match="samples a unit = 80: "):
        network((unit_stream(UNITS, 200.0),))


def test_a_codec_of_other_streams_is_refused():
    tiny = tiny_codec()
    for streams, spoken in (
        (tiny.streams[:2], UNITS),
        (tiny.streams, UNITS + 1),
        ((unit_stream(UNITS + 2, 25.0), *tiny.streams[1:]), UNITS),
        ((*tiny.streams[:2], style_stream(STYLES + 1, 1.0)), UNITS),
        ((tiny.streams[0], pitch_stream(PITCHES, 25.0), tiny.streams[2]), UNITS),
    ):
        decoder = MelDecoder(network(streams, spoken=spoken), USUAL)
        with pytest.raises(UserError, match="the mel network was trained with"):
            dataclasses.replace(tiny, decoder=decoder)


def test_voices_and_usual_codes_are_checked():
    made = codec()
    made.check_voice(1, None)
    for speaker, style, says in (
        (2, None, "speaker = 2: must be 0 to 1"),
        (-1, None, "speaker"),
        (None, 1, "style"),
    ):
        with pytest.raises(UserError, match=says):
            made.check_voice(speaker, style)
    mute = codec(speakers=0)
    with pytest.raises(UserError, match="speaker = 0: this decoder has none"):
        mute.decode(make_speech([1, 2]), speaker=0)
    with pytest.raises(UserError, match="must have style"):
        MelDecoder(made.decoder.mel_network, {"pitch": 1, "speaker": 0})


def test_a_stored_decoder_speaks_the_same_and_leaves_the_fingerprint(tmp_path):
    made, wav = codec(seed=5), babble(1.2, seed=8)[0]
    save_codec(made, tmp_path / "codec")
    loaded = load_codec(tmp_path / "codec")
    assert (loaded.fingerprint, loaded.streams) == (tiny_codec().fingerprint, tiny_codec().streams)
    assert loaded.decoder.voices == ("a", "b")
    (speech,) = loaded.encode_batch([wav])
    np.testing.assert_array_equal(loaded.decode(speech), made.decode(speech))
    np.testing.assert_array_equal(loaded.decode("[Hu3][Hu17][Hu5]"), made.decode("[Hu3][Hu17][Hu5]"))
