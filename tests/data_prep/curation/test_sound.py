"""Scores of the sound: what they are of signals whose silence, noise and clipping are known."""

import io

import numpy as np
import pytest
import soundfile
import soxr

from data_prep.curation import sound
from data_prep.espeak import Voice, speak
from tests.speech.synthetic import tone


def spoken(text, voice="en-us+m3", rate=175):
    said = speak(text, Voice(voice, rate))
    return soxr.resample(said.samples.astype(np.float32) / 32768, said.sample_rate, 16_000)


def outline(wav):
    return sound.outline(wav, sound.frame_levels(wav))


def distance(one, other):
    return (int(outline(one), 16) ^ int(outline(other), 16)).bit_count()


@pytest.mark.parametrize("share", [0.0, 0.25, 0.6, 0.97])
@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_the_share_of_silence(share, offset):
    wav = tone(220, 2.0)
    wav[round(len(wav) * (1 - share)) :] = 0
    assert 1 - sound.sounding(sound.frame_levels(wav + np.float32(offset))).mean() == pytest.approx(
        share, abs=0.02
    )


@pytest.mark.parametrize("decibels", [10, 20, 40])
def test_signal_to_noise_with_and_without_digital_silence(decibels):
    rng = np.random.default_rng(0)
    wav = np.where(np.arange(64_000) % 16_000 < 8_000, tone(220, 4.0), 0)
    noise = rng.normal(size=64_000) * np.sqrt(np.mean(tone(220, 4.0) ** 2) / 10 ** (decibels / 10))
    padded = np.pad(wav + noise, 16_000).astype(np.float32)
    for heard in ((wav + noise).astype(np.float32), padded):
        assert sound.signal_to_noise(sound.frame_levels(heard)) == pytest.approx(decibels, abs=1.5)
    assert sound.signal_to_noise(sound.frame_levels(np.zeros(3_200, np.float32))) == 0.0


def test_a_clipped_voice_has_more_samples_near_its_peak():
    wav = spoken("the brave sailor reached the harbor")
    whole, clipped = sound.clipping_share(wav), sound.clipping_share(np.clip(wav, -0.1, 0.1))
    assert whole < 0.005
    assert clipped > 0.05
    assert sound.clipping_share(0.3 * np.clip(wav, -0.1, 0.1)) == pytest.approx(clipped, abs=0.001)


def test_equal_samples_have_equal_keys():
    wav = tone(220, 1.0)
    assert sound.sound_key(wav) == sound.sound_key(wav.copy())
    assert sound.sound_key(wav) != sound.sound_key(wav * np.float32(1.0001))


@pytest.mark.parametrize(
    "text",
    ["the tired baker visited the garden", "the brave sailor reached the harbor, and coiled the ropes"],
)
def test_versions_of_a_recording_have_near_outlines(text):
    wav = spoken(text)
    coded = io.BytesIO()
    soundfile.write(coded, wav, 16_000, format="MP3")
    coded.seek(0)
    decoded = soundfile.read(coded, dtype="float32")[0]
    narrow = soxr.resample(soxr.resample(wav, 16_000, 8_000), 8_000, 16_000)
    for version in (0.4 * wav, np.pad(wav, (800, 2_400)), narrow, decoded):
        assert sound.are_near(outline(wav), outline(version)), distance(wav, version)


@pytest.mark.parametrize("text", ["yes", "the brave sailor reached the harbor"])
def test_the_same_text_by_other_voices_has_far_outlines(text):
    said = [outline(spoken(text, voice)) for voice in ("en-us+m3", "en-us+f2", "en-us+m7", "en-us+f4")]
    for number, one in enumerate(said):
        assert not any(sound.are_near(one, other) for other in said[:number])
