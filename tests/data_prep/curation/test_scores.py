"""Scores of the text and its words."""

import numpy as np
import pytest

from data_prep.curation.scores import Measured, Task, Unusable, measure
from spirit_jax.speech import audio
from tests.speech.synthetic import tone


def row(tmp_path, wav, **more):
    audio.save(tmp_path / "a.wav", wav)
    given = {"id": "a", "audio": str(tmp_path / "a.wav"), "text": None, "words": None, "voice": "v"}
    return {**given, **more}


def scores(tmp_path, wav, **more):
    found = measure(Task(row(tmp_path, wav, **more)))
    assert isinstance(found, Measured)
    return found.scores


def test_rates_leave_silence_out(tmp_path):
    wav = np.pad(tone(220, 2.0), 16_000)
    found = scores(tmp_path, wav, text="four words of sound 12")
    assert found["word_rate"] == pytest.approx(5 / 2.0, rel=0.05)
    assert found["character_rate"] == pytest.approx((4 + 5 + 2 + 5 + 8) / 2.0, rel=0.05)
    assert found["silence"] == pytest.approx(0.5, abs=0.02)
    assert found["duration"] == 4.0


def test_coverage_is_the_share_of_the_sound_inside_words(tmp_path):
    wav = np.pad(tone(220, 2.0), (16_000, 0))
    words = [["a", 0.0, 1.5], ["b", 1.4, 2.0]]
    assert scores(tmp_path, wav, words=words, text="a b")["coverage"] == pytest.approx(0.5, abs=0.02)
    assert scores(tmp_path, wav, words=[["a", 1.0, 1.0]], text="a")["coverage"] == 0.0
    assert scores(tmp_path, wav, text="a b")["coverage"] is None


@pytest.mark.parametrize(("words", "raised"), [(1, 0.17), (4, 0.085), (100, 0.017)])
def test_the_alignment_score_is_raised_where_there_are_few_words(tmp_path, words, raised):
    timed = [["a", 0.01 * i, 0.01 * i + 0.01] for i in range(words)]
    found = scores(tmp_path, tone(220, 2.0), words=timed, text="a", alignment_score=0.5)
    assert found["alignment"] == pytest.approx(0.5 + raised, abs=1e-4)


def test_without_a_text_there_are_no_scores_of_it(tmp_path):
    for text in (None, "!?"):
        found = scores(tmp_path, tone(220, 1.0), text=text)
        missing = {name for name, value in found.items() if value is None}
        assert missing == {"alignment", "coverage", "character_rate", "word_rate", "unit_rate"}


def test_sound_that_cannot_be_used_has_a_reason(tmp_path):
    words = [["a", 5.0, 6.0]]
    assert measure(Task(row(tmp_path, tone(220, 1.0), words=words))).reason == "words_beyond_sound"
    bad = measure(Task({**row(tmp_path, tone(220, 1.0)), "audio": "nowhere.wav"}))
    assert isinstance(bad, Unusable)
    assert bad.reason == "missing"
