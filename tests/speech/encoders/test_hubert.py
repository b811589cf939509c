import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import write_json
from spirit_jax.speech.encoders.hubert import Hubert, extract_features, load_hubert
from tests.speech.tiny_encoders import BATCH_NORM, TINY, random_encoder, random_wavs, store_encoder


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


def test_a_folder_with_a_batch_norm(tmp_path):
    wavs = random_wavs(9_000, 3_000)
    loaded = load_hubert(store_encoder(tmp_path / "hf", BATCH_NORM, seed=5), 2)
    expected = extract_features(Hubert(random_encoder(BATCH_NORM, seed=5), 2), wavs)
    for one, other in zip(extract_features(loaded, wavs), expected):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"sampling_rate": 8000}, "sampling_rate = 8000: must be 16000"),
        ({"gain": 2.0}, "preprocessor_config.json gain = 2.0: is a key that is neither read"),
    ],
)
def test_another_preprocessor_is_refused(tmp_path, changed, says):
    folder = store_encoder(tmp_path / "hf", TINY)
    known = {
        "do_normalize": True,
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "padding_side": "right",
    }
    write_json(folder / "preprocessor_config.json", known)
    assert load_hubert(folder).normalize_eps == 1e-7
    write_json(folder / "preprocessor_config.json", known | changed)
    with pytest.raises(UserError, match=says):
        load_hubert(folder)
