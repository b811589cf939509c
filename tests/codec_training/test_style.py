"""Style: a student learns a teacher's codes and predicts them for held-out sound."""

import pytest

from spirit_jax.codec_training import style
from spirit_jax.codec_training.config import AdamConfig, CorpusConfig, StepsConfig, StyleRun
from spirit_jax.codec_training.style import StyleTraining
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import write_json
from spirit_jax.core.settings import to_dict
from spirit_jax.speech.codec_folder import load_codec
from spirit_jax.speech.encoders.hubert import Hubert
from spirit_jax.tokens.streams import style_stream
from tests.codec_training.world import ONE, make_wav, rows_of, write_corpus
from tests.speech.tiny_codec import AT_50_HZ, with_parts
from tests.speech.tiny_encoders import AT_25_HZ, random_encoder, store_encoder
from tests.verbs import run_verb


def recipe(units, codec, steps, **changes):
    return StyleRun(
        train=StepsConfig(steps, batch_rows=8, log_every=10, evaluate_every=0),
        teacher="teacher",
        student="student",
        corpus=CorpusConfig(str(units), str(codec), evaluated=16),
        codes=3,
        projected=8,
        seconds=1,
        optim=AdamConfig(rate=5e-3),
        mesh=ONE,
        **changes,
    )


@pytest.fixture
def corpus(tmp_path):
    codec = with_parts(style=None)
    return write_corpus(tmp_path / "corpus", codec, count=40)


@pytest.mark.slow
def test_the_student_predicts_held_out_codes(corpus, tmp_path):
    encoder = store_encoder(tmp_path / "encoder", AT_50_HZ, 1)
    write_json(tmp_path / "recipe.json", to_dict(recipe(*corpus, 150)))
    # the student begins as the teacher: what is left to learn holds on other sound too
    both = {"TEACHER": encoder, "STUDENT": encoder}
    words = {
        "UNITS_DIR": corpus[0],
        "CODEC": corpus[1],
        "CONFIG": tmp_path / "recipe.json",
        "OUT": tmp_path / "run",
    }
    assert run_verb("train-style", **words, **both) == 0
    before, after = rows_of(tmp_path / "run")[0], rows_of(tmp_path / "run")[-1]
    assert after["held_out_accuracy"] > before["held_out_accuracy"]
    assert after["held_out_accuracy"] > after["held_out_accuracy_of_commonest"] + 0.1
    assert after["held_out_distance"] < 0.8 * after["held_out_distance_of_mean"]
    made = load_codec(tmp_path / "run/codec")
    assert made.streams[-1] == style_stream(3, 1.0)
    (speech,) = made.encode_batch([make_wav(0, 0)])
    assert len(speech.codes["style"]) == 2


def test_another_teacher_is_other_data(tmp_path, monkeypatch):
    corpus = write_corpus(tmp_path, with_parts(style=None), count=5)
    prints = []
    for seed in (1, 1, 2):
        monkeypatch.setattr(
            style,
            "load_hubert",
            lambda path, layer=None, seed=seed: Hubert(random_encoder(AT_50_HZ, seed), 1),
        )
        prints.append(StyleTraining(recipe(*corpus, 1)).learns_from)
    assert prints[0] == prints[1]
    assert prints[0]["teacher"] != prints[2]["teacher"]
    assert prints[0]["corpus"] == prints[2]["corpus"]


def test_a_teacher_of_another_rate_is_refused(corpus, monkeypatch):
    monkeypatch.setattr(style, "load_hubert", lambda path, layer=None: Hubert(random_encoder(AT_25_HZ), 1))
    with pytest.raises(UserError, match="teacher frames a second"):
        StyleTraining(recipe(*corpus, 1))
