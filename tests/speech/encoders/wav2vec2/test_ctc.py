import json
from itertools import pairwise

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json, write_json
from spirit_jax.speech.encoders.wav2vec2 import ctc
from spirit_jax.speech.encoders.wav2vec2.ctc import load_ctc
from tests.speech.tiny_encoders import TINY, random_wavs, store_encoder

VOCABULARY = {"<pad>": 0, "<s>": 1, "|": 2, "A": 3, "B": 4, "'": 5}


def store_ctc(folder, vocabulary=VOCABULARY):
    """A Hugging Face folder of a tiny encoder with a CTC head."""
    store_encoder(folder, TINY)
    rng = np.random.default_rng(1)
    head = {"lm_head.weight": rng.normal(0, 0.4, (len(vocabulary), TINY.width))}
    head["lm_head.bias"] = rng.normal(0, 0.1, len(vocabulary))
    arrays = load_file(folder / "model.safetensors")
    arrays |= {name: array.astype(np.float32) for name, array in head.items()}
    save_file(arrays, folder / "model.safetensors")
    write_json(folder / "config.json", {**read_json(folder / "config.json"), "vocab_size": len(vocabulary)})
    write_json(folder / "vocab.json", vocabulary)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_ctc(store_ctc(tmp_path_factory.mktemp("ctc") / "model"))


def test_emissions_are_log_probabilities_of_each_frame(model):
    wavs = random_wavs(16_000, 9_000, 100)
    emissions = model.emissions(wavs)
    assert [len(e_TV) for e_TV in emissions] == [TINY.frame_count(len(wav)) for wav in wavs]
    for e_TV in emissions:
        np.testing.assert_allclose(np.exp(e_TV).sum(axis=-1), 1, rtol=1e-5)
    assert model.frame_seconds == TINY.hop / 16_000


@pytest.mark.parametrize("samples", [16_000, 47_999, 48_000, 48_001, 100_000, 123_457])
def test_windows_cover_each_frame_once(samples, monkeypatch):
    monkeypatch.setattr(ctc, "WINDOW_SECONDS", 2.0)
    monkeypatch.setattr(ctc, "CONTEXT_SECONDS", 0.3)
    windows = ctc._windows(samples, TINY.hop)
    kept = []
    for first, last, skip, until in windows:
        frames = TINY.frame_count(last - first)
        assert last - first <= 2.0 * 16_000 + TINY.hop
        assert until is None or frames >= until
        kept += list(range(first // TINY.hop, first // TINY.hop + frames))[skip:until]
    assert kept == list(range(TINY.frame_count(samples)))
    assert all(after[0] < before[1] for before, after in pairwise(windows))


def test_long_recordings_give_nearly_the_emissions_of_one_window(model, monkeypatch):
    (wav,) = random_wavs(60_000)
    (whole_TV,) = model.emissions([wav])
    monkeypatch.setattr(ctc, "WINDOW_SECONDS", 2.5)
    monkeypatch.setattr(ctc, "CONTEXT_SECONDS", 1.0)
    (cut_TV,) = model.emissions([wav])
    assert cut_TV.shape == whole_TV.shape
    assert np.abs(cut_TV - whole_TV).mean() < 0.25 * whole_TV.std()


@pytest.mark.parametrize("vocabulary", [{"A": 99}, {"en": {"A": 1}}, {}])
def test_a_vocabulary_that_does_not_fit_is_refused(vocabulary, tmp_path):
    folder = store_ctc(tmp_path / "model")
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    with pytest.raises(UserError, match="vocab"):
        load_ctc(folder)


def test_a_folder_without_a_head_is_refused(tmp_path):
    folder = store_encoder(tmp_path / "model", TINY)
    write_json(folder / "vocab.json", VOCABULARY)
    with pytest.raises(UserError, match="lm_head"):
        load_ctc(folder)
