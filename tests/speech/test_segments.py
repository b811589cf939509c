"""Times of codes in recordings that are cut into segments."""

import dataclasses

import numpy as np
import pytest

from spirit_jax.speech.encoders.hubert import Hubert, HubertUnits
from spirit_jax.speech.encoders.mfcc_units import MfccUnits
from spirit_jax.speech.encoders.pitch.vqvae import PitchVqVae
from spirit_jax.speech.encoders.pitch.vqvae_pitch import VqvaePitch
from spirit_jax.speech.segments import SEGMENT_SECONDS, unit_starts
from spirit_jax.speech.weights.table import Table
from spirit_jax.tokens.streams import SAMPLE_RATE, SpeechTokens
from spirit_jax.tokens.vocabulary import merge
from tests.speech.tiny_codec import PITCH, STACK, tiny_networks
from tests.speech.tiny_encoders import AT_25_HZ, TINY, Varied, random_encoder

SEGMENTS = 24  # 40 minutes
SEGMENT = SEGMENT_SECONDS * SAMPLE_RATE


def weight_free():
    return MfccUnits(Table(centroids=np.zeros((9, 52), np.float32)))


def hubert(cfg):
    return HubertUnits(Hubert(random_encoder(cfg), 1), tiny_networks()["quantizer"])


def at_25_hz():
    return hubert(dataclasses.replace(AT_25_HZ, width=16))


def at_100_hz():
    return hubert(dataclasses.replace(TINY, layers=1))


def merged_times(encoders, counts):
    """The time of each code of each stream, by stream, none of them equal to the one before."""
    streams = tuple(encoder.stream for encoder in encoders)
    codes = {stream.name: np.arange(count) % 5 for stream, count in zip(streams, counts)}
    stream_N, _, time_N = merge(SpeechTokens(codes), streams)
    return [time_N[stream_N == index] for index in range(len(streams))]


@pytest.mark.parametrize("make", [weight_free, at_25_hz, at_100_hz])
def test_a_unit_is_merged_when_it_is_heard(make):
    encoder = make()
    units = SEGMENTS * encoder.count_units(SEGMENT)
    hop = round(SAMPLE_RATE / encoder.stream.rate)
    heard = unit_starts(units, SEGMENTS * SEGMENT, encoder.count_units, hop) / SAMPLE_RATE
    (times,) = merged_times([encoder], [units])
    assert abs(times - heard).max() < 1 / encoder.stream.rate
    assert abs(times - heard).max() < 0.04


@pytest.mark.parametrize("downs", [4, 6])
def test_pitch_stays_with_the_units(downs):
    stack = dataclasses.replace(STACK, downs=downs)
    units, pitch = (
        weight_free(),
        VqvaePitch(PitchVqVae(dataclasses.replace(PITCH, encoder=stack, decoder=stack), Varied(1))),
    )
    in_segment = pitch.pitch.encoder.length(SEGMENT // 80 + 1)
    counts = SEGMENTS * units.count_units(SEGMENT), SEGMENTS * in_segment
    _, times = merged_times([units, pitch], counts)
    begins = times[::in_segment][:SEGMENTS]
    assert abs(begins - SEGMENT_SECONDS * np.arange(SEGMENTS)).max() < 0.04
