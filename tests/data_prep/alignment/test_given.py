import json

import pytest

from data_prep.alignment.given import Given, cut_times, match_given, read_times
from data_prep.alignment.spelling import spell
from data_prep.alignment.times import NotAligned, Timed
from spirit_jax.core.errors import UserError

WORDS = [("press", 0.1, 0.4), ("one", 0.4, 0.7), ('say "now"', 0.9, 1.25)]
LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 1.5
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "anna - words"
        xmin = 0
        xmax = 1.5
        intervals: size = 4
        intervals [1]:
            xmin = 0
            xmax = 0.1
            text = ""
        intervals [2]:
            xmin = 0.1
            xmax = 0.4
            text = "press"
        intervals [3]:
            xmin = 0.4
            xmax = 0.7
            text = "one"
        intervals [4]:
            xmin = 0.9
            xmax = 1.25
            text = "say ""now\"""
    item [2]:
        class = "TextTier"
        name = "points"
        xmin = 0
        xmax = 1.5
        points: size = 1
        points [1]:
            number = 0.5
            mark = "x"
"""
SHORT = """File type = "ooTextFile"
Object class = "TextGrid"

0
1.5
<exists>
1
"IntervalTier"
"words"
0
1.5
3
0.1
0.4
"press"
0.4
0.7
"one"
0.9
1.25
"say ""now\"""
"""
ENTRIES = [{"word": word, "start": start, "end": end} for word, start, end in WORDS]
JSONS = [
    {"words": ENTRIES},
    {"words": [list(word) for word in WORDS]},
    {"segments": [{"words": ENTRIES[:1]}, {"words": ENTRIES[1:]}]},
    {"tiers": {"words": {"type": "interval", "entries": [[s, e, w] for w, s, e in WORDS]}, "phones": {}}},
    {"words": [*ENTRIES, {"word": "lost", "case": "not-found-in-audio"}]},
]


def found(path):
    return [(word.word, word.start, word.end) for word in read_times(path)["a"] if word.word]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("text", [LONG, SHORT])
def test_textgrids_long_and_short(text, encoding, tmp_path):
    (tmp_path / "a.TextGrid").write_text(text, encoding=encoding)
    assert found(tmp_path / "a.TextGrid") == WORDS


@pytest.mark.parametrize("content", JSONS)
def test_json(content, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert found(tmp_path) == WORDS


def test_ctm_of_several_recordings(tmp_path):
    (tmp_path / "all.ctm").write_text(
        ";; comment\nb 1 0.5 0.25 two 0.5\na 1 0.4 0.3 one\na 1 0.1 0.3 press\n"
    )
    times = read_times(tmp_path / "all.ctm")
    assert [word.word for word in times["a"]] == ["press", "one"]
    assert times["b"] == [Given("two", 0.5, 0.75, 0.5)]


def test_folders_are_part_of_the_name(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.json").write_text(json.dumps(JSONS[0]))
    assert set(read_times(tmp_path)) == {"x/a", "y/a"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.TextGrid", "nonsense"),
        ("a.TextGrid", LONG[:400]),
        ("a.ctm", "a 1 0.5\n"),
        ("a.json", "{"),
        ("a.json", '{"text": "x"}'),
        ("a.json", "[]"),
    ],
)
def test_a_broken_file_is_named(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=name):
        read_times(tmp_path)


def test_nothing_to_read_is_an_error(tmp_path):
    with pytest.raises(UserError, match="--times"):
        read_times(tmp_path)


def given(text):
    return [Given(word, float(i), i + 0.5) for i, word in enumerate(text.split())]


def matched(text, theirs):
    times = match_given(spell(text.split()), given(theirs))
    return {word: time.start for word, time in zip(text.split(), times) if time is not None}


def test_words_are_matched_however_they_are_written():
    assert matched("Press 1, please!", "press one please") == {"Press": 0, "1,": 1, "please!": 2}
    assert matched("twenty one", "21") == {"twenty": 0, "one": 0}
    assert matched("It's 42 now", "it's forty two now") == {"It's": 0, "42": 1, "now": 3}


def test_a_word_of_several_spoken_words_lasts_from_the_first_to_the_last():
    times = match_given(spell(["42"]), given("forty two"))
    assert times == [Timed(0.0, 1.5)]


def test_pauses_are_left_out_and_unknown_words_have_their_place():
    assert matched("to waldo now", "sil to <unk> sp now") == {"to": 1, "waldo": 2, "now": 4}


def test_missing_words_have_no_times():
    assert matched("one two three four", "one three four") == {"one": 0, "three": 1, "four": 2}


def test_times_of_another_text_are_refused():
    with pytest.raises(NotAligned, match="other_words"):
        match_given(spell(["one", "two", "three"]), given("the cat sat one"))


def test_a_part_has_its_own_words_and_begins_at_zero():
    words = given("a b c d")
    assert cut_times(words, None) == words
    assert cut_times(words, (1.0, 2.0)) == [Given("b", 0.0, 0.5), Given("c", 1.0, 1.5)]
    assert [word.word for word in cut_times(words, (2.0, None))] == ["c", "d"]
