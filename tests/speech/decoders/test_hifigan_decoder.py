"""A HiFi-GAN as a decoder: durations, missing codes, and encoders that do not fit."""

import dataclasses

import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.speech.codec import Codec
from spirit_jax.speech.decoders.hifigan import Generator
from spirit_jax.speech.decoders.hifigan_decoder import HifiganDecoder
from spirit_jax.speech.encoders.hubert import HubertUnits
from spirit_jax.speech.quantizers.linear import KmeansQuantizer
from spirit_jax.tokens.streams import SAMPLE_RATE, SpokenUnits, Stream
from tests.speech.tiny_codec import PITCHES, STYLES, UNITS, VOCODER, tiny_codec, tiny_networks, with_parts
from tests.speech.tiny_encoders import Varied
from tests.speech_codes import make_speech, make_spoken

EXPRESSIVE = dataclasses.replace(VOCODER, pitches=PITCHES, styles=STYLES, style_ids=0)
USUAL = {"pitch": 3, "style": 2}


def decoder(seed=0, usual=USUAL, **changes):
    return HifiganDecoder(
        Generator(dataclasses.replace(EXPRESSIVE, **changes), Varied(seed)), usual, ("a", "b")
    )


def codec(**changes):
    return dataclasses.replace(tiny_codec(), decoder=decoder(**changes))


def test_voices_are_those_that_may_be_chosen():
    for changes in ({}, {"speakers": 0, "style_ids": 3}):
        made = decoder(**changes)
        made.check_voice(made.speakers - 1 if made.speakers else None, None)
        with pytest.raises(UserError):
            made.check_voice(made.speakers, None)
        made.check_voice(None, made.styles - 1 if made.styles else None)
        with pytest.raises(UserError):
            made.check_voice(None, made.styles)


def test_units_of_an_utterance_last_forty_milliseconds():
    made = codec().decode(make_speech(np.arange(50) % UNITS, np.arange(25) % PITCHES, [1, 2]))
    assert made.shape == (640 * 50,)
    assert np.abs(made).max() > 1e-3
    speech = make_speech(np.arange(12) % UNITS)
    assert not np.array_equal(codec().decode(speech), codec().decode(speech, speaker=0))


def test_speech_without_pitch_and_style_takes_the_usual_ones():
    units = np.array([3, 4, 5, 6, 7], np.int32)
    given = make_speech(units, np.full(3, USUAL["pitch"]), np.full(1, USUAL["style"]))
    np.testing.assert_array_equal(codec().decode(make_speech(units)), codec().decode(given))
    spoken = make_spoken(units, np.full(5, USUAL["pitch"]), np.full(5, USUAL["style"]))
    np.testing.assert_array_equal(codec().decode(make_spoken(units)), codec().decode(spoken))


def test_spoken_units_last_what_is_predicted():
    made = codec().decode(make_spoken([3, 4, 3], [1, 0, 1], [1, 1, 2]))
    assert len(made) >= 3 * 640
    assert len(made) % 640 == 0
    assert len(codec().decode(make_speech(np.zeros(0)))) == 0


def test_only_a_decoder_that_does_not_keep_durations_predicts_those_of_an_utterance():
    base, units = tiny_codec("base"), make_speech(np.array([3, 3, 3, 7]))
    keeping = dataclasses.replace(base, decoder=dataclasses.replace(base.decoder, keep_durations=True))
    assert len(keeping.decode(units)) == 4 * 640
    np.testing.assert_array_equal(base.decode(units), base.decode(make_spoken(units.units)))


def test_without_a_duration_predictor_a_spoken_unit_lasts_a_frame():
    units, pitch, style = np.array([3, 7, 7, 2, 5]), np.array([1, 1, 4, 4, 2]), np.full(5, 2)
    mute = codec(duration_width=0)
    np.testing.assert_array_equal(mute.decode(make_spoken(units)), mute.decode(make_speech(units)))
    np.testing.assert_array_equal(
        mute.decode(make_spoken(units, pitch, style)), mute.decode(make_speech(units, pitch[::2], style[:1]))
    )
    assert len(mute.decode("[Hu3][Hu7]")) == 2 * 640


SECTIONS = {"predicted": {}, "a frame a unit": {"duration_width": 0}}


def long_speech(count=120, streams=("pitch", "style")):
    rng = np.random.default_rng(0)
    codes = {"pitch": rng.integers(0, PITCHES, count), "style": np.full(count, 2)}
    return SpokenUnits(
        {"units": rng.integers(0, UNITS - 1, count), **{name: codes[name] for name in streams}}
    )


def first_units(spoken, count):
    return SpokenUnits({name: codes[:count] for name, codes in spoken.codes.items()})


@pytest.mark.parametrize("changes", SECTIONS.values(), ids=SECTIONS)
@pytest.mark.parametrize("cuts", [(0, 120), (0, 1, 2, 119, 120), (0, 40, 41, 90, 120)])
def test_sections_together_are_the_whole_sound(changes, cuts):
    """To 1e-5 of full scale: another length is another program, which rounds otherwise."""
    made, spoken = codec(**changes), long_speech()
    sections = [made.decode_section(spoken, *pair) for pair in zip(cuts, cuts[1:])]
    np.testing.assert_allclose(np.concatenate(sections), made.decode(spoken), atol=1e-5)


@pytest.mark.parametrize("changes", SECTIONS.values(), ids=SECTIONS)
def test_settled_units_keep_their_sound_when_more_follow(changes):
    made, spoken = codec(**changes), long_speech()
    whole, counts = made.decode(spoken), []
    for known in (5, 30, 60, 90):
        so_far = first_units(spoken, known)
        counts.append(made.count_settled(so_far))
        sound = made.decode_section(so_far, 0, counts[-1])
        np.testing.assert_allclose(sound, whole[: len(sound)], atol=1e-5)
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert 90 - made.decoder.vocoder.cfg.reach - 2 <= counts[-1] < 90


def test_speech_that_a_later_code_may_change_has_nothing_settled():
    made, spoken = codec(), long_speech()
    assert made.count_settled(long_speech(streams=("pitch",))) == 0
    blank = made.decoder.vocoder.cfg.units
    led = SpokenUnits({**spoken.codes, "units": np.append(blank, spoken.units[1:])})
    assert made.count_settled(led) == 0
    assert made.count_settled(SpokenUnits({"units": np.zeros(0, int)})) == 0
    within = SpokenUnits({**spoken.codes, "units": np.where(np.arange(120) == 60, blank, spoken.units)})
    sounds = [made.decode_section(within, *pair) for pair in ((0, 61), (61, 120))]
    np.testing.assert_allclose(np.concatenate(sounds), made.decode(within), atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"units": 7}, "vocoder units = 7"),
        ({"pitches": PITCHES - 1}, "vocoder pitch = 11"),
        ({"sample_rate": 22_050}, "sampling_rate = 22050"),
        ({"rates": (20, 16)}, "upsample_rates' product = 320: must be code_hop_size, 640"),
        ({"hop": 320}, "samples a code of units = 320: must be 640"),
        ({"pitch_hop": 640}, "samples a code of pitch = 640: must be 1280"),
        ({"style_hop": 320}, "samples a code of style = 320: must be 16000"),
    ],
)
def test_a_generator_of_other_codes_or_times_is_refused(changes, says):
    with pytest.raises(UserError, match=says):
        codec(**changes)


@pytest.mark.parametrize("hop", [480, 640, 960, 1920])
def test_a_rate_of_whole_samples_fits(hop):
    """Also one such as 100/3 per second, which no float is."""
    units = Stream("units", "Hu", UNITS, SAMPLE_RATE / hop)
    made = decoder(hop=hop, rates=(20, hop // 20), rate_kernels=(40, hop // 10), pitches=0, styles=0)
    made.check_streams((units,), UNITS)
    with pytest.raises(UserError, match=f"samples a code of units = {hop}"):
        made.check_streams((dataclasses.replace(units, rate=units.rate * 1.001),), UNITS)


def test_streams_that_the_codec_does_not_have_are_refused():
    with pytest.raises(UserError, match="vocoder streams = pitch"):
        dataclasses.replace(tiny_codec("base"), decoder=decoder())
    with pytest.raises(UserError, match="must have pitch"):
        decoder(usual={"style": 1})


def test_k_means_has_no_blank_that_a_vocoder_could_leave_out():
    hubert, vocoder = tiny_networks()["hubert"], with_parts("base").decoder
    width = hubert.encoder.cfg.width
    Codec((HubertUnits(hubert, KmeansQuantizer(np.zeros((UNITS, width), np.float32))),), vocoder)
    with pytest.raises(UserError, match=f"vocoder units = {UNITS}"):
        Codec((HubertUnits(hubert, KmeansQuantizer(np.zeros((UNITS + 1, width), np.float32))),), vocoder)


def test_speakers_and_styles_that_it_does_not_have_are_refused():
    with pytest.raises(UserError, match="speaker = 7"):
        codec().decode(make_speech([1]), speaker=7)
    with pytest.raises(UserError, match="style id = 0"):
        codec().decode(make_speech([1]), style=0)
