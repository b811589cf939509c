"""Classifiers by folder: the small one, and a wav2vec 2.0 of Hugging Face."""

import json

import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.evals.judges.classifiers import load_classifier
from spirit_jax.evals.judges.judges import Judges
from spirit_jax.evals.judges.small_classifier import train_classifier
from spirit_jax.tokens.vocabulary import Modality

TEXT, SPEECH = Modality.TEXT, Modality.SPEECH


def voices(count, seed=0):
    """Sounds of three pitches, with their names."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        hertz = (100, 180, 320)[number % 3] * rng.uniform(0.9, 1.1)
        time = np.arange(rng.integers(8000, 16000)) / 16_000
        wav = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in (1, 2, 3))
        yield (
            (0.2 * wav + 0.01 * rng.standard_normal(len(time))).astype(np.float32),
            ["low", "middle", "high"][number % 3],
        )


def texts(count, seed=0):
    rng = np.random.default_rng(seed)
    words = {"glad": ("gladly", "bright"), "sad": ("sadly", "grey")}
    for number in range(count):
        label = ("glad", "sad")[number % 2]
        yield f"The fox {rng.choice(['saw', 'met'])} it {rng.choice(words[label])}.", label


@pytest.mark.parametrize(("draw", "modality"), [(voices, SPEECH), (texts, TEXT)])
def test_a_small_classifier_learns_and_comes_back_from_its_folder(tmp_path, draw, modality):
    given, labels = zip(*draw(30))
    train_classifier(given, labels).save(tmp_path / "judge")
    judge = load_classifier(tmp_path / "judge", modality, "--option")
    unseen, right = zip(*draw(24, seed=1))
    found = judge.classify(unseen)
    assert np.mean([one == other for one, other in zip(found, right)]) > 0.9
    assert judge.classify([]) == []
    assert set(judge.labels) == set(labels)
    assert judge.about == "judge, small classifier"


def test_judges_load_what_was_named(tmp_path):
    given, labels = zip(*texts(10))
    train_classifier(given, labels).save(tmp_path / "texts")
    judges = Judges(text_classifier=tmp_path / "texts")
    assert judges.classifiers.keys() == {TEXT}
    with pytest.raises(UserError, match="--speech-classifier"):
        judges.require("speech_classifier")
    with pytest.raises(UserError, match="--asr"):
        Judges(asr=tmp_path / "texts").load({"asr"})


def test_mistakes_name_the_option(tmp_path):
    given, labels = zip(*texts(10))
    train_classifier(given, labels).save(tmp_path / "texts")
    with pytest.raises(UserError, match="--speech-classifier.*does not classify speech"):
        load_classifier(tmp_path / "texts", SPEECH, "--speech-classifier")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="neither classifier.json"):
        load_classifier(tmp_path / "empty", TEXT, "--text-classifier")
    (tmp_path / "empty/config.json").write_text(json.dumps({"architectures": ["BertForMaskedLM"]}))
    with pytest.raises(UserError, match="BertForMaskedLM"):
        load_classifier(tmp_path / "empty", SPEECH, "--speech-classifier")
