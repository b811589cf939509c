import csv

import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.evals.benchmarks import BENCHMARKS
from spirit_jax.evals.layouts.zerospeech import frequency_band
from tests.evals.data_sets import LEXICAL, VOICES, Writer, write_lexical, write_prosody, write_syntactic


@pytest.fixture
def writer(tmp_path):
    return Writer(tmp_path)


def read(writer, name="swuggy", split="dev"):
    return BENCHMARKS[name].layout.read(writer.root, split)


def faults(trials):
    return [(trial.item, trial.fault) for trial in trials if trial.fault]


def test_a_trial_for_each_id_and_voice_the_right_one_first(writer):
    rows = write_lexical(writer, 2)
    trials = read(writer)
    assert [(trial.item, trial.labels["voice"]) for trial in trials] == [
        (str(item), voice) for item in (0, 1) for voice in VOICES
    ]
    correct = {row["filename"]: row["correct"] for row in rows}
    for trial in trials:
        assert [correct[sound.name] for sound in trial.candidates] == [1, 0]
        assert all(sound.path.is_file() for sound in trial.candidates)


def test_labels_are_those_of_the_word_in_any_order_of_the_rows(writer):
    rows = [{**row, "frequency": 500 if row["correct"] else 0} for row in write_lexical(writer, 2)]
    writer.table("lexical/dev/gold.csv", LEXICAL, rows[::-1])
    assert {trial.labels["frequency"] for trial in read(writer)} == {">100"}


@pytest.mark.parametrize(
    ("name", "folder", "write", "kinds"),
    [
        ("sblimp", "syntactic", write_syntactic, 4),
        ("prosaudit", "prosaudit/english", write_prosody, 2),
    ],
)
def test_ids_may_be_numbered_anew_in_each_type(writer, name, folder, write, kinds):
    """zerospeech-benchmarks groups by type and id."""
    rows = [{**row, "id": row["id"] // kinds} for row in write(writer, 4)]
    writer.table(f"{folder}/dev/gold.csv", tuple(rows[0]), rows)
    trials = read(writer, name)
    assert not faults(trials)
    assert len({trial.item for trial in trials}) == 4


def test_the_order_of_the_rows_makes_no_difference_to_pairs(writer):
    rows = write_lexical(writer, 3)
    once = {(trial.item, trial.candidates) for trial in read(writer)}
    writer.table("lexical/dev/gold.csv", LEXICAL, rows[::-1])
    assert {(trial.item, trial.candidates) for trial in read(writer)} == once


def test_a_missing_partner_and_a_voice_too_few(writer):
    rows = write_lexical(writer, 2)
    kept = [row for row in rows if row["voice"] != "bob" or row["id"] == 0]
    writer.table("lexical/dev/gold.csv", LEXICAL, kept[:-1])
    trials = read(writer)
    assert faults(trials) == [("1", "missing_partner")]
    assert "carol" in trials[-1].detail
    assert len(trials) == 5


def test_a_duplicate_row_is_left_out_and_counted(writer):
    rows = write_lexical(writer, 2)
    writer.table("lexical/dev/gold.csv", LEXICAL, [*rows, rows[0]])
    trials = read(writer)
    assert faults(trials) == [("0", "duplicate_row")]
    assert len([trial for trial in trials if not trial.fault]) == 6


def test_two_words_where_one_must_be_are_set_aside(writer):
    rows = write_lexical(writer, 2)
    writer.table("lexical/dev/gold.csv", LEXICAL, [*rows, {**rows[0], "filename": "other"}])
    assert faults(read(writer)) == [("0", "ambiguous")]


def test_an_answer_that_is_no_number_is_set_aside(writer):
    rows = write_lexical(writer, 2, VOICES[:1])
    writer.table("lexical/dev/gold.csv", LEXICAL, [{**rows[0], "correct": "yes"}, *rows[1:]])
    assert faults(read(writer)) == [("0", "bad_row"), ("0", "missing_partner")]


def test_texts_are_compared_once_for_all_voices(writer):
    write_lexical(writer, 3)
    write_syntactic(writer, 3)
    for name in ("swuggy_text", "sblimp_text"):
        trials = read(writer, name)
        assert [trial.item.split("/")[-1] for trial in trials] == ["0", "1", "2"]
        assert all(trial.candidates[0] in writer.right for trial in trials)
        assert not faults(trials)


@pytest.mark.parametrize(
    ("given", "band"),
    [("oov", "oov"), ("0", "oov"), ("1", "1-5"), ("4", "1-5"), ("5.0", "6-20"), ("20", "21-100")]
    + [("101", ">100"), ("", "unknown"), ("often", "unknown")],
)
def test_frequencies_have_bands(given, band):
    assert frequency_band({"frequency": given}) == band


def test_other_tables_have_other_groups(writer):
    write_syntactic(writer, 2)
    write_prosody(writer, 2)
    assert read(writer, "sblimp")[0].labels == {"type": "type0", "subtype": "sub0", "voice": "alice"}
    assert read(writer, "prosaudit")[1].labels == {"type": "protosyntax", "voice": VOICES[0]}


@pytest.mark.parametrize("suffix", ["", ".wav"])
def test_names_may_have_a_suffix(writer, suffix):
    rows = write_lexical(writer, 2)
    named = [{**row, "filename": row["filename"] + suffix} for row in rows]
    writer.table("lexical/dev/gold.csv", LEXICAL, named)
    assert read(writer)[0].candidates[0].name == "alice0y"


def test_what_is_missing_is_named_with_its_layout_and_source(writer, tmp_path):
    with pytest.raises(UserError, match="no folder lexical or .*gold.csv with filename.*download.zerospeech"):
        read(writer)
    rows = write_lexical(writer, 1)
    with pytest.raises(UserError, match="test: no gold.csv"):
        read(writer, split="test")
    writer.table("lexical/dev/gold.csv", LEXICAL[1:], [{k: row[k] for k in LEXICAL[1:]} for row in rows])
    with pytest.raises(UserError, match="has no column filename"):
        read(writer)
    writer.table("lexical/dev/gold.csv", LEXICAL, rows[::2])
    with pytest.raises(UserError, match="nothing to ask, 3 set aside, the first: missing_partner"):
        read(writer)
    writer.table(
        "lexical/dev/gold.csv", LEXICAL, [{**row, "filename": "a" + row["filename"]} for row in rows]
    )
    with pytest.raises(UserError, match="none of 6 sound files is there, such as aalice0y"):
        read(writer)
    with pytest.raises(UserError, match="--data"):
        BENCHMARKS["swuggy"].layout.read(tmp_path / "nowhere", "dev")


def test_a_table_of_another_encoding_is_refused(writer):
    write_lexical(writer, 1)
    path = writer.root / "lexical/dev/gold.csv"
    path.write_bytes(path.read_bytes() + "ä".encode("latin-1"))
    with pytest.raises(UserError, match="UTF-8"):
        read(writer)


def test_a_short_row_is_set_aside(writer):
    rows = write_lexical(writer, 1)
    path = writer.root / "lexical/dev/gold.csv"
    with open(path, "a", newline="") as file:
        csv.writer(file).writerow(["only_a_name", "7"])
    assert faults(read(writer)) == [("7", "bad_row")]
    assert len(rows) == 6
