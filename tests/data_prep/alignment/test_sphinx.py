import numpy as np
import pytest
import soxr

from data_prep.alignment.spelling import Spelled, spell
from data_prep.alignment.sphinx import Sphinx, match_path
from data_prep.alignment.times import NotAligned
from data_prep.espeak import Voice, speak


@pytest.fixture(scope="module")
def sphinx():
    return Sphinx()


def say(text, voice="en-us", rate=150):
    spoken = speak(text, Voice(voice, rate))
    wav = soxr.resample(spoken.samples.astype(np.float32) / 32768, spoken.sample_rate, 16_000)
    return wav, spoken.words


def align(sphinx, text, said=None):
    wav, words = say(said or text)
    return sphinx.align(wav, spell(text.split())), words


def test_word_times_are_those_of_the_speech(sphinx):
    text = "The brave sailor reached the harbor, and the children waited near the old bridge."
    found, spoken = align(sphinx, text)
    assert [word for word, _, _ in found.words] == text.split()
    errors = [abs(ours[1] - theirs[1]) for ours, theirs in zip(found.words, spoken)]
    assert np.mean(errors) < 0.025
    starts = [start for _, start, _ in found.words]
    assert starts == sorted(starts)


def test_numbers_symbols_and_unknown_words_are_aligned_and_kept_as_written(sphinx):
    text = "Please press 1 to mute or unmute yourself, 24 to eject the last user, or # to leave."
    said = (
        "Please press one to mute or unmute yourself, twenty four to eject the last user, or pound to leave."
    )
    found, _ = align(sphinx, text, said)
    assert [word for word, _, _ in found.words] == text.split()
    assert found.joined == 0


def test_the_reading_that_was_spoken_is_found(sphinx):
    said = "dial eighty five hundred to enter the system"
    found, spoken = align(sphinx, "Dial 8500 to enter the system.", said)
    assert found.words[2][0] == "to"
    assert abs(found.words[2][1] - spoken[4][1]) < 0.05


def test_notes_in_parentheses_may_be_unspoken(sphinx):
    found, _ = align(sphinx, "Leave your message (a tone plays) now please", "leave your message now please")
    assert " ".join(word for word, _, _ in found.words) == "Leave your message (a tone plays) now please"
    spoken, _ = align(
        sphinx, "Leave your message (a tone plays) now please", "leave your message a tone plays now please"
    )
    assert len(spoken.words) == 8


def test_a_long_note_at_the_end_may_be_unspoken(sphinx):
    text = "Leave your message now (a very long simple tone plays here)"
    found, spoken = align(sphinx, text, "leave your message now")
    assert abs(found.words[-1][1] - spoken[-1][1]) < 0.05


def test_a_word_of_another_script_is_joined_and_counted(sphinx):
    found, _ = align(sphinx, "the sailor 北京 reached the harbor", "the sailor bay jing reached the harbor")
    assert found.joined == 1
    assert [word for word, _, _ in found.words] == ["the", "sailor 北京", "reached", "the", "harbor"]


def test_equal_sound_gives_equal_times_whatever_came_before(sphinx):
    wav, _ = say("the children waited near the old bridge")
    text = spell(["the", "children", "waited", "near", "the", "old", "bridge"])
    first = Sphinx().align(wav, text)
    with pytest.raises(NotAligned):
        sphinx.align(np.zeros(1600, np.float32), spell(["unbelievably", "long", "zorbification"] * 9))
    assert sphinx.align(wav, text) == first


def test_the_right_text_scores_above_another(sphinx):
    wav, _ = say("the brave sailor reached the harbor")
    right = sphinx.align(wav, spell(["the", "brave", "sailor", "reached", "the", "harbor"]))
    try:
        wrong = sphinx.align(wav, spell(["a", "clever", "farmer", "painted", "his", "wagon"]))
    except NotAligned:
        return
    assert right.score > wrong.score + 0.1


@pytest.mark.parametrize(("words", "reason"), [(3, "no_match"), (10_000, "too_little_sound")])
def test_sound_that_is_too_short_is_not_aligned(words, reason, sphinx):
    with pytest.raises(NotAligned, match=reason):
        sphinx.align(0.1 * np.sin(np.arange(1600, dtype=np.float32)), spell(["hello"] * words))


def test_what_is_too_long_has_another_way(sphinx, monkeypatch):
    monkeypatch.setattr("data_prep.alignment.sphinx.LONGEST_SECONDS", 2.0)
    with pytest.raises(NotAligned, match="--ctc") as refused:
        sphinx.align(np.zeros(33_000, np.float32), spell(["hello"]))
    assert refused.value.reason == "too_long"


def path_of(said, *words):
    return match_path(said.split(), words, [word.readings for word in words])


def test_a_path_is_matched_to_the_words_whose_readings_it_has():
    two = Spelled("2x", (("a",), ("a", "b")))
    one = Spelled("1", (("b", "c"), ("c",)))
    note = Spelled("(x)", (("d",),), optional=True)
    lost = Spelled("?", ())
    assert path_of("a b c", two, one) in ([range(2), range(2, 3)], [range(1), range(1, 3)])
    assert path_of("a c", two, note, one) == [range(1), range(1, 1), range(1, 2)]
    assert path_of("a d c", two, note, one) == [range(1), range(1, 2), range(2, 3)]
    assert path_of("a c", two, lost, one) == [range(1), range(1, 1), range(1, 2)]
    assert path_of("a b", one, two) is None
