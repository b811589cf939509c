import dataclasses

import numpy as np
import pytest

from data_prep.alignment.ctc import align_with_ctc, text_tokens, word_times
from data_prep.alignment.spelling import spell
from data_prep.alignment.times import Aligned

LETTERS = {"<pad>": 0, **{c: i for i, c in enumerate("abcdefghijklmnopqrstuvwxyz'", 1)}}
DELIMITED = {"<pad>": 0, "|": 1, **{c: i for i, c in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ'", 2)}}


@dataclasses.dataclass
class Planted:
    """A network whose emissions are given."""

    given: list[np.ndarray]
    vocabulary: dict[str, int]
    blank: int = 0
    frame_seconds: float = 0.02

    def emissions(self, wavs):
        return self.given[: len(wavs)]


def plant(ids, size, certainty=0.9):
    """Log-probabilities of frames that say `ids`."""
    e_TV = np.full((len(ids), size), (1 - certainty) / (size - 1), np.float32)
    e_TV[np.arange(len(ids)), ids] = certainty
    return np.log(e_TV)


def written(tokens_L, vocabulary):
    names = {id: c for c, id in vocabulary.items()}
    return "".join(names[id] for id in tokens_L)


def test_a_text_is_the_characters_of_its_readings():
    tokens_L, spans = text_tokens(spell(["It's", "21,", "—", "é!"]), LETTERS)
    assert written(tokens_L, LETTERS) == "it'stwentyonee"
    assert [len(span) for span in spans] == [4, 9, 0, 1]


def test_words_are_delimited_where_the_vocabulary_has_a_delimiter():
    tokens_L, spans = text_tokens(spell(["It's", "21", "[x]", "now"]), DELIMITED)
    assert written(tokens_L, DELIMITED) == "IT'S|TWENTY|ONE|NOW"
    assert [written(tokens_L[list(span)], DELIMITED) for span in spans] == ["IT'S", "TWENTY|ONE", "", "NOW"]


def test_words_without_known_characters_have_no_tokens():
    vocabulary = {"<pad>": 0, "a": 1}
    assert [len(span) for span in text_tokens(spell(["a", "ab", "a"]), vocabulary)[1]] == [1, 0, 1]


def test_other_scripts_are_romanised():
    pytest.importorskip("uroman")
    tokens_L, _ = text_tokens(spell(["мир"], "ru"), LETTERS)
    assert written(tokens_L, LETTERS) == "mir"


def test_planted_words_are_found_to_the_frame():
    a, b = LETTERS["a"], LETTERS["b"]
    ids = [0, 0, a, a, 0, b, 0, 0, 0, b, b, 0, a, 0]
    model = Planted([plant(ids, len(LETTERS))], LETTERS)
    (found,) = align_with_ctc(model, [np.zeros(14 * 320, np.float32)], [spell(["Ab,", "BA"])])
    assert isinstance(found, Aligned)
    assert found.words == [["Ab,", 0.04, 0.12], ["BA", 0.18, 0.26]]
    assert found.scores == pytest.approx([0.9, 0.9], abs=1e-3)


def test_a_wrong_text_has_a_low_score():
    rng = np.random.default_rng(0)
    ids = np.repeat(rng.integers(1, 27, 40), 2)
    model = Planted([plant(ids, len(LETTERS))] * 2, LETTERS)
    right = written(ids[::2], LETTERS)
    wav = np.zeros(80 * 320, np.float32)
    found = align_with_ctc(model, [wav] * 2, [spell([right]), spell(["zebra", "quiz", "fjord"])])
    assert found[0].score > 0.7 > 0.3 > found[1].score


def test_reasons():
    model = Planted([plant([0, 1], 2)] * 2, {"<pad>": 0, "q": 1})
    wav = np.zeros(640, np.float32)
    found = align_with_ctc(model, [wav] * 2, [spell(["qqq"]), spell(["zebra"])])
    assert [outcome.reason for outcome in found] == ["too_little_sound", "no_spoken_words"]


def test_scores_are_geometric_means():
    (timed,) = word_times(np.array([0, 1, 1, 2]), np.log([0.1, 0.9, 0.4, 0.2]), [range(1)], 0.02)
    assert timed.score == pytest.approx(0.6)
    assert (timed.start, timed.end) == (0.02, 0.06)
