import dataclasses
import itertools
import json
import threading
import time

import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.tokens.interleave import Arrangement
from spirit_jax.tokens.long_documents import cut_document
from spirit_jax.training.data.batches import (
    records_read,
    training_batches,
    validation_batches,
)
from spirit_jax.training.data.reading import AHEAD, GROUP, THREADS, ReadAhead
from spirit_jax.training.data.sources import documents
from tests.training.tiny import VOCABULARY, make_data, make_record, make_records, make_source

FIELDS = ("tokens", "targets", "loss_weights", "segment_ids", "positions")


def batches(sources, rows=4, length=64, seed=0, **options):
    return iter(training_batches(sources, length, rows, seed, **options))


def documents_of(batch):
    """The documents in a batch, each as its tokens and its last target."""
    for row in range(len(batch.tokens)):
        for segment in range(1, batch.segment_ids[row].max() + 1):
            indices = np.flatnonzero(batch.segment_ids[row] == segment)
            yield (*batch.tokens[row, indices].tolist(), int(batch.targets[row, indices[-1]]))


def test_a_batch_is_packed_documents_with_shifted_targets():
    for batch in itertools.islice(batches(make_data().train), 20):
        assert batch.tokens.shape == (4, 64)
        assert {getattr(batch, name).dtype.name for name in FIELDS if name != "loss_weights"} == {"int32"}
        assert batch.loss_weights.dtype == np.float32
        np.testing.assert_array_equal(batch.loss_weights, batch.segment_ids > 0)
        np.testing.assert_array_equal(batch.tokens[batch.segment_ids == 0], 0)
        for row in range(4):
            for segment in range(1, batch.segment_ids[row].max() + 1):
                indices = np.flatnonzero(batch.segment_ids[row] == segment)
                np.testing.assert_array_equal(np.diff(indices), 1)
                np.testing.assert_array_equal(batch.positions[row, indices], np.arange(len(indices)))
                np.testing.assert_array_equal(
                    batch.targets[row, indices[:-1]], batch.tokens[row, indices[1:]]
                )
                assert batch.tokens[row, indices[0]] == VOCABULARY.bos
                assert batch.targets[row, indices[-1]] == VOCABULARY.eos


def test_every_record_once_an_epoch_in_another_order_and_whole():
    records = make_records(30)
    source = make_source("text", records, Arrangement.TEXT)
    expected = {tuple(documents(source, record, (0,))[0].tolist()) for record in records}
    stream = (document for batch in batches([source]) for document in documents_of(batch))
    seen = list(itertools.islice(stream, 30 * 40))
    assert set(seen) == expected
    counts = [seen.count(document) for document in expected]
    # Packing moves a document by some rows, so that the last epoch seen is not complete.
    assert min(counts) >= 40 - 12
    assert max(counts) <= 40 + 12


@pytest.mark.parametrize("arrangement", list(Arrangement))
def test_long_documents_are_cut_into_chunks_that_begin_as_prompts_do(arrangement):
    source = make_source("long", [make_record(0, 100)], arrangement)
    found = documents(source, source.rows[0], (0, 0, 0, 0))
    cut = [stretch for document in found for stretch in cut_document(document, 32, VOCABULARY)]
    assert len(cut) > 4
    expected = {tuple(ids.tolist()): given for ids, given in cut}
    chunks = set()
    for batch in itertools.islice(batches([source], length=32), 10):
        for row in range(len(batch.tokens)):
            for segment in range(1, batch.segment_ids[row].max() + 1):
                at = np.flatnonzero(batch.segment_ids[row] == segment)
                ids = (*batch.tokens[row, at].tolist(), int(batch.targets[row, at[-1]]))
                assert ids[0] == VOCABULARY.bos
                assert ids[1] in (VOCABULARY.text_tag, VOCABULARY.speech_tag)
                if ids in expected:  # later epochs draw other spans
                    chunks.add(ids)
                    weights = np.arange(1, len(ids)) >= expected[ids]
                    np.testing.assert_array_equal(batch.loss_weights[row, at], weights, "the head is given")
    assert len(chunks) > 2


def test_token_shares_hold_in_batches():
    weights = {"short": 1.0, "long": 1.0, "speech": 2.0}
    sources = [
        make_source("short", make_records(50, (2, 4), first=0), Arrangement.TEXT, weights["short"]),
        make_source("long", make_records(50, (20, 25), first=100), Arrangement.TEXT, weights["long"]),
        make_source("speech", make_records(50, (3, 5), first=200), Arrangement.SPEECH, weights["speech"]),
    ]
    shares = dict.fromkeys(weights, 0)
    for batch in itertools.islice(batches(sources, rows=64), 30):
        for document in documents_of(batch):
            kind = (
                "speech"
                if document[1] == VOCABULARY.speech_tag
                else "long"
                if len(document) > 20
                else "short"
            )
            shares[kind] += len(document) - 1
    for kind, weight in weights.items():
        assert shares[kind] / sum(shares.values()) == pytest.approx(weight / 4, rel=0.02)


def test_streams_read_disjoint_records_and_together_all():
    records = make_records(31)
    read = []
    for index in range(3):
        stream = batches([make_source("text", records, Arrangement.TEXT)], stream=index, streams=3)
        read.append({document for batch in itertools.islice(stream, 12) for document in documents_of(batch)})
    assert sum(map(len, read)) == len(set().union(*read)) == 31


def test_fewer_records_than_streams_is_refused():
    with pytest.raises(UserError, match="2 records"):
        batches([make_source("few", make_records(2))], stream=0, streams=3)


@pytest.mark.parametrize("taken", [0, 1, 23])
def test_resuming_goes_on_to_the_bit(taken):
    iterator = batches(make_data().train)
    for _ in range(taken):
        next(iterator)
    state = json.loads(json.dumps(iterator.get_state()))
    other = batches(make_data().train)
    other.set_state(state)
    for _ in range(20):
        expected, got = next(iterator), next(other)
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))


@pytest.mark.slow
def test_reader_processes_share_the_records_and_resume():
    records = make_records(1000)  # many more than wait in open rows
    iterator = batches([make_source("text", records, Arrangement.TEXT)], rows=1, workers=2)
    first = [next(iterator) for _ in range(6)]
    state = json.loads(json.dumps(iterator.get_state()))
    expected = [next(iterator) for _ in range(6)]
    other = batches([make_source("text", records, Arrangement.TEXT)], rows=1, workers=2)
    other.set_state(state)
    for batch in expected:
        np.testing.assert_array_equal(next(other).tokens, batch.tokens)
    iterator.close()
    other.close()
    seen = [document for batch in first for document in documents_of(batch)]
    assert len(set(seen)) == len(seen), "no record twice within an epoch"
    assert records_read(state).shape == (1,)


def test_another_seed_gives_other_batches():
    assert not np.array_equal(
        next(batches(make_data().train)).tokens, next(batches(make_data().train, seed=1)).tokens
    )


def test_finished_documents_are_left_as_they_are():
    documents = [np.arange(10, 15 + index, dtype=np.int32) for index in range(6)]
    seen = {
        document
        for batch in itertools.islice(batches([make_source("frozen", documents)]), 3)
        for document in documents_of(batch)
    }
    assert seen == {tuple(document.tolist()) for document in documents}


def test_records_read_counts_each_source():
    iterator = batches(make_data().train)
    for _ in range(100):
        next(iterator)
    read = records_read(iterator.get_state())
    assert read.shape == (3,)
    assert (read > 30).all()
    np.testing.assert_array_equal(records_read({}), [])


def test_validation_is_one_pass_the_same_each_time():
    source = make_source("held out", make_records(150))
    first, second = (list(validation_batches(source, 64, 4, 0)) for _ in range(2))
    assert sum(len(list(documents_of(batch))) for batch in first) == 150
    for a, b in zip(first, second, strict=True):
        assert a.tokens.shape == (4, 64)
        np.testing.assert_array_equal(a.tokens, b.tokens)


class SlowRows:
    """Rows whose reads take a while; counts those that run at once, and the furthest row that was read."""

    def __init__(self, rows, seconds):
        self.rows, self.seconds, self.lock = rows, seconds, threading.Lock()
        self.running = self.most = self.reads = 0

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index):
        with self.lock:
            self.running, self.reads = self.running + 1, self.reads + 1
            self.most = max(self.most, self.running)
        time.sleep(self.seconds)
        with self.lock:
            self.running -= 1
        return self.rows[index]

    def __getitems__(self, indices):
        return [self[index] for index in indices]


def slow(sources, seconds=0.001):
    return [dataclasses.replace(source, rows=SlowRows(source.rows, seconds)) for source in sources]


def test_records_are_read_ahead_at_once_and_batches_stay_the_same():
    sources = slow(make_data().train)
    iterator = batches(sources)
    for expected in itertools.islice(batches(make_data().train), 12):
        np.testing.assert_array_equal(next(iterator).tokens, expected.tokens)
    iterator.close()
    assert min(source.rows.most for source in sources) > THREADS // 2


def test_the_records_that_wait_are_bounded():
    (source,) = slow([make_source("text", make_records(2 * AHEAD), Arrangement.TEXT)], 0.0001)
    iterator = batches([source], rows=1)
    for _ in range(3):
        next(iterator)
    time.sleep(0.5)  # time to read all, if nothing held it back
    taken = int(records_read(iterator.get_state())[0])
    iterator.close()
    assert taken < source.rows.reads <= taken + AHEAD < 2 * AHEAD


def test_a_reader_goes_on_from_any_number():
    reader = ReadAhead(lambda numbers: [10 * number for number in numbers], first=3, step=2)
    assert [reader(number) for number in (3, 5, 7)] == [30, 50, 70]
    far = 3 + 2 * (2 * GROUP + 5)
    reader.start(far)
    assert [reader(number) for number in range(far, far + 4 * GROUP, 2)] == [
        10 * number for number in range(far, far + 4 * GROUP, 2)
    ]
    assert reader(5) == 50
    reader.close()


def test_a_state_is_restored_by_reads_at_once():
    sources = make_data().train
    iterator = batches(sources)
    for _ in range(30):
        next(iterator)
    state, late = json.loads(json.dumps(iterator.get_state())), slow(sources)
    other = batches(late)
    other.set_state(state)
    assert max(source.rows.most for source in late) > 4
    np.testing.assert_array_equal(next(other).tokens, next(iterator).tokens)


def test_validation_is_read_ahead():
    (source,) = slow([make_source("held out", make_records(THREADS * GROUP))])
    plain = make_source("held out", make_records(THREADS * GROUP))
    for got, expected in zip(
        validation_batches(source, 64, 4, 0), validation_batches(plain, 64, 4, 0), strict=True
    ):
        np.testing.assert_array_equal(got.tokens, expected.tokens)
    assert source.rows.most > THREADS // 2


def test_a_mistake_in_a_record_reaches_the_reader():
    class Broken(SlowRows):
        def __getitem__(self, index):
            raise UserError("record", index, "is broken", "write it again")

    with pytest.raises(UserError, match="is broken"):
        next(batches([make_source("broken", Broken([0] * 9, 0.0))]))
