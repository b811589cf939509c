"""Training rows and held-out rows."""

import collections

import pytest
from hypothesis import given, strategies

from spirit_jax.core.errors import UserError
from spirit_jax.datasets.sentences import normalize_sentence
from spirit_jax.datasets.splits import (
    HELD_SENTENCES,
    HELD_VOICES,
    TRAINING_SPLITS,
    LeftOut,
    choose_held_out,
    hold_out,
    hold_voices,
    split_rows,
)


@pytest.mark.parametrize(("rows", "count"), [(1, 1), (2, 1), (5, 1), (10, 2), (20, 4), (199, 4), (400, 8)])
def test_a_share_is_held_out(rows, count):
    given = [{"id": str(number), "line": number} for number in range(rows)]
    train, held_out = hold_out(given)
    assert len(held_out) == count
    assert sorted([*train, *held_out], key=lambda row: row["line"]) == given
    assert train == sorted(train, key=lambda row: row["line"])
    assert hold_out(given[::-1])[1] == held_out[::-1], "the order of the corpus does not matter"


def rows_of(*splits):
    return [{"id": str(number), "split": split} for number, split in enumerate(splits)]


def test_rows_of_other_splits_are_held_out():
    rows = rows_of("train", "heldout", "speech", "test", "text")
    assert [row["split"] for row in split_rows(rows)[0]] == ["train", "speech", "text"]
    assert [row["split"] for row in split_rows(rows)[1]] == ["heldout", "test"]
    assert [row["split"] for row in split_rows(rows, "test")[1]] == ["test"]
    with pytest.raises(UserError, match="0 recordings: for training and 1 held out"):
        split_rows(rows_of("train"))


ROWS = strategies.lists(
    strategies.fixed_dictionaries(
        {
            "voice": strategies.sampled_from(["", "anna", "ben", "cleo", "dan"]),
            "text": strategies.sampled_from([None, "A b.", "a b", "C d", "e", "E!", "f", "?", "g h i"]),
            "words": strategies.just(None),
            "split": strategies.sampled_from(["train", "train", "speech", "text", "dev", "test"]),
        }
    ),
    max_size=40,
)
SHARES = strategies.sampled_from([0.0, 0.2, 0.5, 0.9])


def sentences_of(rows, splits) -> set[str]:
    return {normalize_sentence(row["text"]) for row in rows if row["split"] in splits and row["text"]} - {""}


@given(rows=ROWS, sentences=SHARES, voices=SHARES)
def test_nothing_that_is_held_out_is_trained_on(rows, sentences, voices):
    held = choose_held_out(lambda: rows, sentences, voices)
    kept = [{**row, "split": split} for row in rows if isinstance(split := held.split_of(row), str)]
    in_training = [row for row in kept if row["split"] in TRAINING_SPLITS]
    assert not {row["voice"] for row in in_training} & held.voices
    assert "" not in held.voices
    trained, own = sentences_of(kept, TRAINING_SPLITS), sentences_of(rows, ["dev", "test"])
    ours = [sentences_of(kept, [name]) for name in (HELD_SENTENCES, HELD_VOICES)]
    assert not (ours[0] | ours[1]) & (trained | own)
    assert not ours[0] & ours[1]
    leaked = [row for row in in_training if row["text"] and normalize_sentence(row["text"]) in own]
    assert sum(map(held.leaks, rows)) == len(leaked), "what the corpus itself leaks is known"


@given(rows=ROWS, sentences=SHARES, voices=SHARES)
def test_only_what_would_leak_is_left_out_and_own_splits_stay(rows, sentences, voices):
    held = choose_held_out(lambda: rows, sentences, voices)
    assert choose_held_out(lambda: rows[::-1], sentences, voices) == held, "the order does not matter"
    split_of = [held.split_of(row) for row in rows]
    for row, split in zip(rows, split_of):
        if row["split"] not in TRAINING_SPLITS:
            assert split == row["split"]
        if isinstance(split, LeftOut):
            same = [
                other
                for other, name in zip(rows, split_of)
                if isinstance(name, str)
                and normalize_sentence(other["text"] or "") == normalize_sentence(row["text"])
            ]
            assert same, "its sentence stands in another split"
    if sentences == voices == 0:
        assert split_of == [row["split"] for row in rows]


def test_shares_are_about_as_large_as_asked_for():
    rows = [
        {"voice": f"v{n % 50}", "text": f"sentence {n}", "words": None, "split": "train"} for n in range(5000)
    ]
    held = choose_held_out(lambda: rows, 0.1, 0.1)
    counts = collections.Counter(map(held.split_of, rows))
    assert len(held.voices) == 5
    assert counts[HELD_VOICES] == 500
    assert 350 < counts[HELD_SENTENCES] < 550
    assert sum(counts.values()) == counts["train"] + counts[HELD_VOICES] + counts[HELD_SENTENCES]


def test_a_corpus_that_all_voices_read_keeps_its_training_sentences():
    """Held-out voices keep the held-out sentences alone."""
    rows = [
        {"voice": voice, "text": f"sentence {n}", "words": None, "split": "train"}
        for voice in ("anna", "ben", "cleo", "dan")
        for n in range(100)
    ]
    held = choose_held_out(lambda: rows, 0.2, 0.2)
    counts = collections.Counter(
        split.reason if isinstance(split, LeftOut) else split for split in map(held.split_of, rows)
    )
    alone = counts[HELD_VOICES]
    assert 10 < alone < 30
    assert counts == {
        HELD_VOICES: alone,
        "train": 3 * (100 - alone),
        "sentence_in_training": 100 - alone,
        "sentence_held_out": 3 * alone,
    }


def test_one_voice_alone_is_not_held_out():
    assert hold_voices(["anna"], 0.5) == frozenset()
    assert len(hold_voices(["anna", "ben"], 0.01)) == 1
    assert hold_voices(["anna", "ben"], 0) == frozenset()
