import re

import numpy as np
import pytest

from spirit_jax.evals.suites.continuations import words_of
from spirit_jax.pages.utterance import Lanes, draw_utterance
from spirit_jax.tokens.streams import duration_s
from tests.generation.world import record, tokenizer, vocabulary


def lanes(expressive=False, **more):
    one, streams = record(7, expressive), vocabulary(expressive).streams
    words = list(zip(words_of(one, tokenizer()), one.word_start_s, one.word_end_s))
    samples = int(duration_s(one.speech, streams) * 16_000)
    wav = np.sin(np.arange(samples) * 0.1).astype(np.float32)
    return Lanes(wav, words, one.speech, streams, **more)


def draw(expressive=False, **more):
    return draw_utterance(lanes(expressive, **more)).svg


def test_the_figure_takes_its_colours_from_the_page():
    svg = draw(True)
    assert svg.startswith("<svg ")
    assert "var(--speech)" in svg
    assert not re.findall(r"(?:fill|stroke): #(?!ffffff)", svg)


def test_the_same_lanes_are_the_same_text():
    assert draw(spectrogram=True) == draw(spectrogram=True)


def test_an_utterance_shows_its_words_and_one_box_a_run():
    one = record(7)
    svg = draw()
    for word in words_of(one, tokenizer()):
        assert f">{word}</text>" in svg
    runs = 1 + np.count_nonzero(np.diff(one.speech.units))
    drawn = re.findall(r">(\d+)</text>", svg)
    assert len(drawn) == runs
    assert drawn == [
        str(code) for code in one.speech.units[np.flatnonzero(np.diff(one.speech.units, prepend=-1))]
    ]


def test_there_is_a_strip_for_each_thing_that_is_there():
    f0 = np.where(np.arange(300) % 50 < 30, 120.0, 0.0).astype(np.float32)
    assert strips(draw(True)) == ["wave", "words", "units", "pitch", "style"]
    assert strips(draw(False)) == ["wave", "words", "units"]
    assert strips(draw(f0=f0, spectrogram=True)) == ["wave", "spectrum", "words", "F0, Hz", "units"]
    assert strips(draw(f0=np.zeros(300, np.float32))) == ["wave", "words", "units"]
    assert strips(draw_utterance(Lanes(None, [], None, ())).svg) == []


def strips(svg):
    names = ("wave", "spectrum", "words", "F0, Hz", "units", "pitch", "style")
    return [name for name in re.findall(r">([\w, ]+)</text>", svg) if name in names]


@pytest.mark.parametrize("seconds", [0.5, 6.0, 40.0])
def test_the_time_axis_ends_where_the_figure_says(seconds):
    wav = np.sin(np.arange(round(seconds * 16_000)) * 0.1).astype(np.float32)
    drawn = draw_utterance(Lanes(wav, [("word", 0.1, 0.4)], None, ()))
    assert drawn.seconds == pytest.approx(seconds)
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', drawn.svg)[1])
    assert drawn.px == pytest.approx(width, abs=1)
    x, w = map(float, re.search(r'd="M ([\d.]+) [\d.]+ \nL ([\d.]+)', word_box(drawn.svg)).groups())
    a_second = (w - x) / 0.3
    assert a_second * seconds == pytest.approx((drawn.right - drawn.left) * width, rel=0.01)
    assert a_second * seconds / width > 0.9
    assert x == pytest.approx(drawn.left * width + 0.1 * a_second, abs=1)


def word_box(svg):
    return next(path for path in re.findall(r"<path [^>]*>", svg) if "var(--soft)" in path)


def test_a_word_without_length_is_drawn():
    wav = np.ones(16_000, np.float32) * 0.1
    assert draw_utterance(Lanes(wav, [("uh", 0.3, 0.3)], None, ())).svg.startswith("<svg ")
