import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.speech.encoders.hubert import Hubert, extract_features
from tests.speech.tiny_encoders import TINY, random_encoder, random_wavs


@pytest.fixture(scope="module")
def hubert():
    return Hubert(random_encoder(), 2)


def test_long_audio_is_cut(hubert):
    wav = random_wavs(20_000)[0]
    whole = extract_features(hubert, [wav], longest=8_000)[0]
    parts = extract_features(hubert, [wav[:8_000], wav[8_000:16_000], wav[16_000:]])
    assert np.array_equal(whole, np.concatenate(parts))


@pytest.mark.parametrize(("tail", "kept"), [(399, False), (400, True)])
def test_a_short_tail_is_dropped(hubert, tail, kept):
    frames = len(extract_features(hubert, [random_wavs(8_000 + tail)[0]], longest=8_000)[0])
    assert frames == TINY.frame_count(8_000) + (TINY.frame_count(tail) if kept else 0)
    assert TINY.frame_count(tail) > 0


def test_too_short_gives_no_features(hubert):
    assert [features.shape for features in extract_features(hubert, random_wavs(0, 399))] == [
        (0, TINY.width)
    ] * 2


def test_loudness_is_without_influence_where_the_waveform_is_normalized(hubert):
    wav = random_wavs(9_000)[0]
    plain, louder = extract_features(hubert, [wav, 4 * wav])
    normalized, louder_normalized = extract_features(Hubert(hubert.encoder, 2, 1e-7), [wav, 4 * wav])
    assert np.abs(normalized - louder_normalized).max() < 1e-3
    assert not np.array_equal(plain, louder)


def test_the_layer_must_exist():
    with pytest.raises(UserError, match="within 1 to 3"):
        Hubert(random_encoder(), 4)
