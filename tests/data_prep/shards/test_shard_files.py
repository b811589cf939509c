"""Files of shards: any number of blocks, which TFDS reads without TensorFlow."""

import hashlib

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_prep.shards import shard_files

FEATURES = {
    "id": tfds.features.Text(),
    "number": tfds.features.Scalar(dtype=np.int32),
    "codes": tfds.features.Tensor(shape=(None,), dtype=np.int32),
    "times": tfds.features.Tensor(shape=(None,), dtype=np.float32),
}


def make_row(number: int) -> dict:
    return {
        "id": f"é{number}",
        "number": number,
        "codes": np.arange(number % 5, dtype=np.int32) - 2,
        "times": np.arange(number % 3, dtype=np.float32) / 7,
    }


def write(folder, count):
    files = shard_files.SplitFiles(folder, "made", "some")
    for number in range(count):
        files.add(f"{number}", shard_files.serialize(make_row(number)))
    shard_files.write_info(folder, "made", "config", FEATURES, {"a": 1}, [files.finish()])
    return tfds.builder_from_directory(folder)


@pytest.mark.parametrize(("file_bytes", "files"), [(10**9, 1), (1000, 10)])
def test_tfds_reads_all_rows(tmp_path, monkeypatch, file_bytes, files):
    monkeypatch.setattr(shard_files, "FILE_BYTES", file_bytes)
    builder = write(tmp_path, 100)
    assert abs(len(list(tmp_path.glob("made-some.array_record-*"))) - files) <= files // 3
    rows = builder.as_data_source("some")
    assert len(rows) == builder.info.splits["some"].num_examples == 100
    assert sorted(row["number"] for row in rows) == list(range(100))
    for row in rows:
        expected = make_row(row["number"])
        assert row["id"].decode() == expected["id"]
        np.testing.assert_array_equal(row["codes"], expected["codes"])
        np.testing.assert_array_equal(row["times"], expected["times"])
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("file_bytes", [10**9, 2000, 300, 1])
@pytest.mark.parametrize(("run_bytes", "fan"), [(10**9, 64), (700, 64), (300, 2)])
def test_the_order_is_that_of_tfds_whatever_the_size(tmp_path, monkeypatch, file_bytes, run_bytes, fan):
    """Also where runs are merged several times, and where nearly every row has a file."""
    monkeypatch.setattr(shard_files, "FILE_BYTES", file_bytes)
    monkeypatch.setattr(shard_files, "RUN_BYTES", run_bytes)
    monkeypatch.setattr(shard_files, "FAN", fan)
    numbers = [row["number"] for row in write(tmp_path, 50).as_data_source("some")]
    assert numbers == sorted(range(50), key=lambda number: hashlib.md5(f"some{number}".encode()).digest())
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")], "runs are removed"
