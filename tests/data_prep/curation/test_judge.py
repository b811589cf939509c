"""Which rows are kept."""

import dataclasses

import pytest

from data_prep.curation.config import CurationConfig, Limits
from data_prep.curation.judge import Judge
from data_prep.curation.scores import SCORES, Entry, Measured, Unusable, count_letters, key_of, text_key
from spirit_jax.core.errors import UserError
from spirit_jax.core.settings import override
from spirit_jax.pages.histogram import Histogram

OFF = CurationConfig(**{name: Limits() for name in SCORES}, same_text_most=None)
NOTHING = dict.fromkeys(SCORES)


def entry(id="a", text="one two", key="s", outline="0" * 32, voice="v", timed=True, **scores):
    row = {"id": id, "audio": f"{id}.wav", "text": text, "words": None}
    about = (id, voice, timed, 2.0, 1.5, {**NOTHING, **scores}, text_key(text), key_of(key), outline)
    return Entry(row, Measured(*about), None)


def reasons(entries, config=OFF):
    histograms = {name: Histogram.of([score.low], score.low, score.high) for name, score in SCORES.items()}
    measured = [one.measured for one in entries if one.measured]
    keys = {key for one in measured for key in (one.text_key, one.sound_key)}
    judge = Judge(config, histograms, keys | {key_of(one.row["id"]) for one in entries})
    return [[fault.reason for fault in judge.judge(one).faults] for one in entries]


@pytest.mark.parametrize("name", list(SCORES))
def test_each_limit_rejects_what_is_beyond_it_and_can_be_turned_off(name):
    values = zip("abc", (0.5, 0.4, 0.6))
    inside, low, high = (entry(id, text=id, key=id, **{name: value}) for id, value in values)
    limited = override(OFF, [f"{name}.least=0.45", f"{name}.most=0.55"])
    assert reasons([inside, low, high], limited) == [[], [f"low_{name}"], [f"high_{name}"]]
    assert reasons([inside, low, high]) == [[], [], []]
    assert reasons([entry(**{name: None})], limited) == [[]]


def test_a_row_keeps_all_its_reasons():
    config = override(OFF, ["silence.most=0.5", "noise.least=20", "needs_words=true"])
    assert reasons([entry(silence=0.6, noise=10.0, timed=False)], config) == [
        ["high_silence", "low_noise", "no_words"]
    ]


def test_of_the_same_sound_the_first_good_one_is_kept():
    config = override(OFF, ["alignment.least=0.5"])
    rows = [entry("a", alignment=0.1), entry("b", alignment=0.9), entry("c", alignment=0.9)]
    assert reasons(rows, config) == [["low_alignment"], [], ["same_sound"]]
    assert reasons(rows, dataclasses.replace(config, same_sound=False, near_sound=False)) == [
        ["low_alignment"],
        [],
        [],
    ]


def test_nearly_the_same_sound_is_a_duplicate_if_the_text_is_the_same():
    near, far = "0" * 31 + "7", "f" * 32
    rows = [entry("a", key="1"), entry("b", key="2", outline=near), entry("c", key="3", outline=far)]
    assert reasons(rows) == [[], ["near_sound"], []]
    assert reasons(rows, dataclasses.replace(OFF, near_sound=False)) == [[], [], []]
    other = [entry("a", key="1"), entry("b", "one three", key="2", outline=near)]
    assert reasons(other) == [[], []]


def test_a_text_may_be_said_so_many_times_by_a_voice():
    config = dataclasses.replace(OFF, same_text_most=2, near_sound=False)
    rows = [entry(id, text, key=id) for id, text in zip("abcd", ("Yes.", "yes", "YES!", "no"))]
    assert reasons(rows, config) == [[], [], ["same_text"], []]
    assert reasons([*rows[:2], entry("e", "yes", key="e", voice="w")], config) == [[], [], []]


def test_rows_without_sound_are_kept_and_unusable_ones_are_not():
    text = Entry({"id": "t", "audio": None, "text": "hi", "words": None}, None, None)
    bad = Entry({**text.row, "id": "b", "audio": "b.wav"}, None, Unusable("empty", "no bytes"))
    assert reasons([text, bad]) == [[], ["empty"]]
    assert reasons([text, text]) == [[], ["duplicate_id"]]


def test_the_distance_is_that_of_the_nearest_limit_in_spreads():
    values = [0.2, 0.4, 0.6, 0.8]
    histograms = {name: Histogram.of(values, 0.0, 1.0) for name in SCORES}
    judge = Judge(override(OFF, ["alignment.least=0.3", "silence.most=0.9"]), histograms)
    kept = judge.judge(entry("a", alignment=0.9, silence=0.8))
    assert (kept.kept, kept.distance) == (True, pytest.approx(0.1 / 0.2, rel=0.05))
    rejected = judge.judge(entry("b", alignment=0.2, silence=1.0))
    assert (rejected.kept, rejected.distance) == (False, pytest.approx(-0.1 / 0.2, rel=0.05))


def test_wrong_settings_are_refused():
    for setting in ("silence.most=loud", "silense.most=1", "same_text_most=0", "noise.least=NaN"):
        with pytest.raises(UserError):
            override(CurationConfig(), [setting])
    with pytest.raises(UserError, match="in order"):
        Limits(least=2, most=1)


def test_letters_and_keys_of_texts():
    assert count_letters("Room 12, please!") == 4 + 8 + 6
    assert text_key("Yes, 12!") == text_key("yes 12")
    assert text_key("yes") != text_key("no")
    assert text_key("!?") == ""
