"""Training rows and held-out rows."""

import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.datasets.splits import hold_out, split_rows


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
