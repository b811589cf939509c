import numpy as np
import pytest

from data_prep.espeak import PHONEME, WORD, Voice, _Event, speak, word_spans
from spirit_jax.core.errors import UserError

SENTENCE = "today the brave sailor reached the harbor, and coiled ropes quickly"


@pytest.fixture(scope="module")
def spoken():
    return speak(SENTENCE, Voice("en-us+m3"))


def test_every_word_has_its_time_in_order(spoken):
    assert [word for word, _, _ in spoken.words] == SENTENCE.split()
    times = [time for _, start, end in spoken.words for time in (start, end)]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= len(spoken.samples) / spoken.sample_rate


def test_word_times_lie_on_the_sound(spoken):
    power = np.square(spoken.samples.astype(np.float64))
    inside = np.zeros(len(power), bool)
    for _, start, end in spoken.words:
        inside[round(start * spoken.sample_rate) : round(end * spoken.sample_rate)] = True
    assert power[inside].mean() > 100 * power[~inside].mean(), "what lies between the words is silence"


def test_phones_cover_the_sound_in_order_and_pauses_are_marked(spoken):
    ends = [end for _, _, end in spoken.phones]
    assert [start for _, start, _ in spoken.phones[1:]] == ends[:-1]
    assert ends[-1] == len(spoken.samples) / spoken.sample_rate
    pauses = [(start, end) for name, start, end in spoken.phones if name.startswith("_")]
    comma = next(end for word, _, end in spoken.words if word == "harbor,")
    assert any(start <= comma + 0.01 and end > comma + 0.04 for start, end in pauses)
    assert len(spoken.phones) - len(pauses) > 3 * len(spoken.words)


def test_the_wav_is_at_16_khz(spoken):
    assert abs(len(spoken.wav) / 16_000 - len(spoken.samples) / spoken.sample_rate) < 0.001
    assert spoken.wav.dtype == np.float32


def test_the_pause_at_the_comma_belongs_to_no_word(spoken):
    ends = {word: end for word, _, end in spoken.words}
    starts = {word: start for word, start, _ in spoken.words}
    assert 0.05 < starts["and"] - ends["harbor,"] < 0.5


def test_samples_depend_on_the_arguments_alone(spoken):
    speak("something quite different", Voice("en-us+f2", rate=140, pitch=80))
    again = speak(SENTENCE, Voice("en-us+m3"))
    np.testing.assert_array_equal(again.samples, spoken.samples)
    assert again.words == spoken.words


def test_voice_rate_and_pitch_are_heard(spoken):
    fast = speak(SENTENCE, Voice("en-us+m3", rate=260))
    assert len(fast.samples) < 0.85 * len(spoken.samples)
    assert not np.array_equal(speak(SENTENCE, Voice("en-us+f2")).samples, spoken.samples)
    assert not np.array_equal(speak(SENTENCE, Voice("en-us+m3", pitch=80)).samples, spoken.samples)


def test_words_said_as_one_share_a_span():
    words = speak("he sat in the house for the night", Voice("en-us")).words
    spans = [(start, end) for _, start, end in words]
    assert len(words) == 8
    assert spans[2] == spans[3], "in the"
    assert spans[0] != spans[1]


def test_blank_and_repeated_word_events_are_dropped():
    events = [
        _Event(WORD, 0, 2, 100, ""),
        _Event(WORD, 3, 0, 150, ""),  # blank
        _Event(WORD, 3, 2, 200, ""),
        _Event(WORD, 3, 2, 250, ""),  # repeated
        _Event(PHONEME, 3, 0, 300, "_:"),
        _Event(WORD, 6, 2, 400, ""),
    ]
    assert word_spans("ab cd ef", events, 500) == [(100, 200), (200, 300), (400, 500)]


@pytest.mark.parametrize("text", ["", "  ", "4 cows"])
def test_text_that_has_no_words_to_time_is_refused(text):
    with pytest.raises(UserError, match="no digits"):
        speak(text, Voice("en-us"))


def test_unknown_voices_and_odd_settings_are_refused():
    with pytest.raises(UserError, match="xx-none"):
        speak("hello", Voice("xx-none"))
    with pytest.raises(UserError, match="rate is 80"):
        Voice("en-us", rate=10)
