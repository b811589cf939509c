"""Shares of a corpus: together the whole, apart nothing twice, about equally long."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spirit_jax.core.errors import UserError
from spirit_jax.datasets.corpus import Corpus
from spirit_jax.datasets.shares import Share, read_share, share_corpus, share_rows


def make_rows(recordings, durations):
    return [
        {"id": str(i), "audio": f"{name}.wav", **({} if length is None else {"duration": length})}
        for i, (name, length) in enumerate(zip(recordings, durations))
    ]


rows = st.lists(st.tuples(st.integers(0, 30), st.one_of(st.none(), st.floats(0.1, 100))), max_size=60).map(
    lambda pairs: make_rows(*zip(*pairs)) if pairs else []
)


@given(rows, st.integers(1, 9))
def test_the_shares_are_the_whole(rows, count):
    shares = [share_rows(rows, Share(index, count)) for index in range(count)]
    assert sorted((row for share in shares for row in share), key=lambda row: int(row["id"])) == rows
    for share in shares:
        assert [int(row["id"]) for row in share] == sorted(int(row["id"]) for row in share)
    holders = [{row["audio"] for row in share} for share in shares]
    assert sum(map(len, holders)) == len(set().union(*holders)), "a recording is in one share"


@pytest.mark.parametrize("known", [0.0, 0.5, 1.0])
def test_shares_are_about_equally_long(known):
    rng = np.random.default_rng(0)
    seconds = rng.lognormal(2, 1.5, 2000).tolist()
    rows = make_rows(range(2000), [length if rng.random() < known else None for length in seconds])
    sums = [sum(seconds[int(row["id"])] for row in share_rows(rows, Share(index, 8))) for index in range(8)]
    assert max(sums) / min(sums) < {0.0: 3, 0.5: 2, 1.0: 1.01}[known]


def test_the_first_share_says_what_was_set_aside():
    corpus = Corpus(make_rows("ab", [1, 1]), [{"reason": "missing"}], {"x": {".m4a": 1}}, untimed=2)
    first, second = (share_corpus(corpus, Share(index, 2)) for index in range(2))
    assert (first.set_aside, first.untimed, first.unread) == (corpus.set_aside, 2, corpus.unread)
    assert (second.set_aside, second.untimed, second.unread) == ([], 0, {})
    assert len(first.rows) == len(second.rows) == 1


@pytest.mark.parametrize("wrong", ["4/4", "0/0", "-1/4", "1", "a/b", "1/4/2", " 1/4"])
def test_other_parts_are_refused(wrong):
    with pytest.raises(UserError, match="--part"):
        read_share(wrong)
    assert read_share("3/4") == Share(3, 4)


def test_a_share_has_a_folder():
    assert Share().folder(Path("out")) == Path("out")
    assert Share(2, 12).folder(Path("out")) == Path("out/part-00002-of-00012")
