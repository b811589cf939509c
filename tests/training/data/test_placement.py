import dataclasses
import json

import jax
import numpy as np
import pytest

from spirit_jax.config import MeshConfig
from spirit_jax.core.errors import UserError
from spirit_jax.sharding import make_mesh
from spirit_jax.training.data import placement
from spirit_jax.training.data.batches import training_batches
from spirit_jax.training.data.placement import DeviceBatches, streams_here
from tests.training.tiny import Rows, make_config, make_data


@pytest.fixture
def mesh():
    return make_mesh(MeshConfig(2, 2, 2), jax.devices())


def processes(monkeypatch, held: dict[int, set[int]], index: int) -> None:
    """This process is `index` of several, whose devices hold these rows."""
    monkeypatch.setattr(placement, "_rows_of", lambda mesh, rows: held)
    monkeypatch.setattr(jax, "process_index", lambda: index)
    monkeypatch.setattr(jax, "process_count", lambda: len(held))


def make_batches(mesh, streams: int, data=None) -> DeviceBatches:
    return DeviceBatches(
        (data or make_data()).train,
        make_config(train={"batch_rows": 8}, data={"streams": streams}),
        mesh,
    )


def test_a_process_reads_the_streams_of_its_rows(monkeypatch, mesh):
    assert streams_here(mesh, 8, 4) == [0, 1, 2, 3]
    processes(monkeypatch, {0: {0, 1, 4, 5}, 1: {2, 3, 6, 7}}, 1)
    assert streams_here(mesh, 8, 4) == [1, 3]
    with pytest.raises(
        UserError,
        match=r"data.streams = 1: must give each of the 2 processes whole streams.*set data.streams=4",
    ):
        streams_here(mesh, 8, 1)
    with pytest.raises(UserError, match=r"data.streams = 3: must divide train.batch_rows = 8"):
        streams_here(mesh, 8, 3)


def test_where_two_processes_read_a_stream_the_first_one_writes_its_place(monkeypatch, mesh):
    held = {0: {0, 1, 2, 3}, 1: {0, 1, 2, 3}, 2: {4, 5, 6, 7}}
    for index, (read, written) in enumerate(
        [(["stream_0-of-2"],) * 2, (["stream_0-of-2"], []), (["stream_1-of-2"],) * 2]
    ):
        with monkeypatch.context() as patch:
            processes(patch, held, index)
            reads = make_batches(mesh, 2)
            assert (reads.names, list(reads.files(reads.position))) == (read, written)
            reads.close()


def test_batches_go_on_where_the_files_say_and_lie_split_by_rows(mesh):
    batches = make_batches(mesh, 2)
    for _ in range(3):
        batches.take()
    files = json.loads(json.dumps(batches.files(batches.position)))
    other = make_batches(mesh, 2)
    other.go_to(files)
    expected, got = batches.take(), other.take()
    np.testing.assert_array_equal(got.tokens, expected.tokens)
    assert got.tokens.sharding.shard_shape((8, 64)) == (2, 64)
    assert set(np.unique(got.source_ids)) <= {0, 1, 2}
    assert all(epochs > 0 for epochs in batches.epochs(batches.position).values())
    batches.close()
    other.close()


def test_a_batch_is_the_streams_batches_one_below_the_other(mesh):
    batches = make_batches(mesh, 2)
    streams = [iter(training_batches(make_data().train, 64, 4, 0, stream, 2)) for stream in range(2)]
    for _ in range(5):
        expected = np.concatenate([next(stream).tokens for stream in streams])
        np.testing.assert_array_equal(batches.take().tokens, expected)
    batches.close()


def test_other_data_is_refused(mesh):
    batches = make_batches(mesh, 1)
    files = batches.files(batches.position)
    files["stream_0-of-1"]["records"][0] -= 1
    with pytest.raises(UserError, match="made with"):
        batches.go_to(files)
    batches.close()


def test_mistakes_in_the_data_reach_the_training(mesh):
    data = make_data()
    empty = dataclasses.replace(data.train[0], rows=Rows([np.zeros(1, np.int32)] * 5))
    batches = make_batches(mesh, 1, dataclasses.replace(data, train=(empty, *data.train[1:])))
    with pytest.raises(UserError, match="no record gives a document"):
        batches.take()
    batches.close()
