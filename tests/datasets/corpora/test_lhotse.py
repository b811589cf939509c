import gzip
import json

import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.datasets.manifest import open_corpus, part_of, timed_words
from tests.datasets.corpora.files import put_jsonl, reasons_of


def recording(id="r1", channels=(0,), **keys):
    source = {"type": "file", "channels": list(channels), "source": f"/abs/{id}.flac"}
    whole = {"id": id, "sources": [source], "sampling_rate": 16_000, "num_samples": 160_000, "duration": 10.0}
    return whole | keys


def supervision(id="s1", start=0.0, duration=10.0, **keys):
    times = {"start": start, "duration": duration, "channel": 0}
    return {"id": id, "recording_id": "r1", **times, "text": f"text of {id}", "speaker": "anna"} | keys


def cut(id="c1", start=0.0, duration=10.0, **keys):
    parts = {"supervisions": [supervision()], "recording": recording(), "type": "MonoCut"}
    return {"id": id, "start": start, "duration": duration, "channel": 0, **parts} | keys


def put_gz(path, *rows):
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return path


def test_cuts_are_parts_of_recordings(tmp_path):
    two = [supervision("s1", 0.5, 1.0, language="de"), supervision("s2", 2.0, 1.5)]
    rows = (
        cut("whole", features={"type": "fbank"}),
        cut("part", 3.0, 2.0, supervisions=[supervision(duration=2.0)]),
        cut("two", 4.0, 5.0, supervisions=two),
        cut("untold", 1.0, 2.0, supervisions=[]),
    )
    corpus = open_corpus(put_gz(tmp_path / "librispeech_cuts_train.jsonl.gz", *rows))
    assert [(row["id"], row["text"], part_of(row)) for row in corpus.rows] == [
        ("whole", "text of s1", None),
        ("part", "text of s1", (3.0, 2.0, None)),
        ("s1", "text of s1", (4.5, 1.0, None)),
        ("s2", "text of s2", (6.0, 1.5, None)),
        ("untold", None, (1.0, 2.0, None)),
    ]
    assert {(row["audio"], row["voice"]) for row in corpus.rows[:4]} == {("/abs/r1.flac", "anna")}
    assert [row["split"] for row in corpus.rows] == ["train"] * 4 + ["speech"]
    assert corpus.rows[2]["language"] == "de"
    assert corpus.describe_layout() == "Lhotse cuts (ignored: 1 features)"


@pytest.mark.parametrize("named", [False, True])
def test_words_count_from_where_the_row_begins(tmp_path, named):
    items = [["the", 1.0, 0.2, 0.9], ["", 1.2, 0.3, 0.9], ["cat", 1.5, 0.504, 0.9]]
    if named:
        items = [dict(zip(("symbol", "start", "duration", "score"), item)) for item in items]
    spoken = supervision(start=1.0, duration=1.0, alignment={"word": items, "phone": [["k", 1.5, 0.1]]})
    corpus = open_corpus(put_jsonl(tmp_path / "dev.jsonl", cut(start=3.0, supervisions=[spoken])))
    (row,) = corpus.rows
    assert row["words"] == [["the", 0.0, 0.2], ["cat", 0.5, 1.0]]
    assert timed_words(row) == ["the", "cat"]
    assert (part_of(row)[:2], row["split"]) == ((4.0, 1.0), "dev")


def test_channels(tmp_path):
    both = recording(channels=(0, 1))
    rows = (
        cut("left", recording=both),
        cut("right", recording=both, supervisions=[supervision(channel=1)]),
        cut("all", recording=both, type="MultiCut", supervisions=[supervision(channel=[0, 1])]),
        cut("none", recording=both, supervisions=[supervision(channel=2)]),
    )
    corpus = open_corpus(put_jsonl(tmp_path / "m.jsonl", *rows))
    assert [row["channel"] for row in corpus.rows] == [0, 1, None]
    assert reasons_of(corpus) == [("bad_part", "none")]


def test_what_is_no_part_of_a_sound_file_is_set_aside(tmp_path):
    run = {"type": "command", "channels": [0], "source": "touch proof"}
    rows = (
        cut("good"),
        cut("mixed", type="MixedCut", tracks=[]),
        cut("run", recording=recording(sources=[run])),
        cut("memory", recording=recording(sources=[{**run, "type": "memory"}])),
        cut("faster", recording=recording(transforms=[{"name": "Speed"}])),
        cut("lost", recording=None),
        cut("odd", recording={"id": "r1"}),
        cut("listed", supervisions=[["text"]]),
        cut("before", supervisions=[supervision(start=-1.0)]),
        cut("good"),
    )
    corpus = open_corpus(put_jsonl(tmp_path / "m.jsonl", *rows))
    assert [row["id"] for row in corpus.rows] == ["good"]
    assert [row["line"] for row in corpus.set_aside] == list(range(2, 11))
    assert [row["reason"] for row in corpus.set_aside] == [
        "bad_source", "command", "bad_source", "bad_source", "no_partner", "bad_row", "bad_row", "bad_part",
        "duplicate_id",
    ]  # fmt: skip


def put_pair(folder, *supervisions):
    put_gz(folder / "x_recordings_test.jsonl.gz", recording("r1"), recording("r2"))
    return put_gz(folder / "x_supervisions_test.jsonl.gz", *supervisions)


def test_a_pair_of_recordings_and_supervisions(tmp_path):
    said = supervision("s1", 1.0, 2.0), supervision("s2", 3.0, 1.0), supervision("s3", recording_id="r9")
    path = put_pair(tmp_path, *said)
    for given in (path, tmp_path / "x_recordings_test.jsonl.gz", tmp_path):
        corpus = open_corpus(given)
        assert [(row["id"], part_of(row), row["split"]) for row in corpus.rows] == [
            ("s1", (1.0, 2.0, None), "test"),
            ("s2", (3.0, 1.0, None), "test"),
            ("r2", None, "test"),
        ]
        assert reasons_of(corpus) == [("no_partner", "s3")]
        assert corpus.layout == "Lhotse recordings and supervisions"


def test_half_a_pair_is_refused(tmp_path):
    for name in ("x_recordings_test.jsonl.gz", "x_supervisions_test.jsonl.gz"):
        folder = tmp_path / name
        folder.mkdir()
        put_pair(folder, supervision())
        (folder / name).unlink()
        with pytest.raises(UserError, match="has no partner"):
            open_corpus(folder)
