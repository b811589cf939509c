"""The files of a TFDS data set, written as its rows come. They have the order that TFDS gives them, by a hash
of split and key, and each file has the rows of an equal part of the hashes.

TFDS's own writer without Beam needs TensorFlow for more than 1 GB. Here rows wait
in sorted runs on disk, which are merged at the end, so that memory does not grow with the rows.
"""

import hashlib
import heapq
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from tensorflow_datasets.core import shuffle
from tensorflow_datasets.core.utils import shard_utils
from tensorflow_datasets.proto import tf_example_pb2

FILE_BYTES = 2**27  # of the rows of one file, as stored
RUN_BYTES = 2**24  # of the rows that are kept in memory
FAN = 64  # runs that are merged at once
VERSION = "1.0.0"
FORMAT = "array_record"
LENGTH_BYTES = 4

Row = tuple[bytes, bytes]  # hash of split and key; the row as stored


class FileCount(shard_utils.ShardConfig):
    """How many files a split has, for TFDS's writers."""

    def get_number_shards(
        self, total_size: int, num_examples: int, uses_precise_sharding: bool = True
    ) -> int:
        """Of so many bytes and rows."""
        return max(1, min(-(-total_size // self.max_shard_size), num_examples))


def file_count() -> FileCount:
    """Files of `FILE_BYTES`, about."""
    return FileCount(max_shard_size=FILE_BYTES)


class SplitFiles:
    """One split while it is written: its files are FOLDER/DATASET-SPLIT.array_record-NNNNN-of-NNNNN.

    They are written by `finish`.
    """

    def __init__(self, folder: Path, dataset: str, split: str):
        self._template = template_of(folder, dataset, split)
        self._folder, self._split, self._salt = folder, split, hashlib.md5(split.encode())
        self._rows: list[Row] = []  # in memory
        self._runs: list[list[Path]] = []  # on disk: those of each level are FAN times as long as of the last
        self._made = 0
        self._held_bytes = self._bytes = self._count = 0
        self._largest = b""

    def add(self, key: str, stored: bytes) -> None:
        """Takes a row as `serialize` gives it. Keys must differ."""
        digest = self._salt.copy()
        digest.update(key.encode())
        self._rows.append((digest.digest(), stored))
        self._count += 1
        self._held_bytes += len(stored)
        if self._held_bytes >= RUN_BYTES:
            self._set_down()

    def finish(self) -> tfds.core.SplitInfo:
        """Writes the files, and returns what TFDS should know of them."""
        total = self._bytes + self._held_bytes
        count = file_count().get_number_shards(total, self._count)
        self._rows.sort()
        runs = [path for level in self._runs for path in level]
        rows = heapq.merge(self._rows, *map(_read_run, runs)) if runs else iter(self._rows)
        largest = int.from_bytes(max(self._largest, self._rows[-1][0] if self._rows else b""), "big")
        lengths = self._write_files(rows, count, largest)
        for path in runs:
            path.unlink()
        for index in range(len(lengths)):
            named = self._template.sharded_filepath(shard_index=index, num_shards=len(lengths))
            self._partial(index).rename(named)
        return tfds.core.SplitInfo(self._split, lengths, total, self._template)

    def _write_files(self, rows: Iterator[Row], count: int, largest: int) -> list[int]:
        """Writes sorted rows; returns how many there are in each file. Files without rows are left out."""
        lengths, bucket, writer = [], -1, None
        for digest, stored in rows:
            found = shuffle.get_bucket_number(int.from_bytes(digest, "big"), count, largest)
            if found != bucket or writer is None:
                if writer is not None:
                    writer.close()
                writer = ArrayRecordWriter(str(self._partial(len(lengths))), "group_size:1")
                bucket = found
                lengths.append(0)
            writer.write(stored)
            lengths[-1] += 1
        if writer is not None:
            writer.close()
        return lengths

    def _set_down(self) -> None:
        """The rows in memory become a run on disk."""
        self._rows.sort()
        self._largest = max(self._largest, self._rows[-1][0])
        self._add_run(self._rows, 0)
        self._bytes += self._held_bytes
        self._rows, self._held_bytes = [], 0

    def _add_run(self, rows: Iterable[Row], level: int) -> None:
        """Writes a run; FAN runs of a level become one of the next."""
        if level == len(self._runs):
            self._runs.append([])
        path = self._folder / f".{self._split}.run{self._made}"
        self._made += 1
        _write_run(path, rows)
        self._runs[level].append(path)
        if len(self._runs[level]) == FAN:
            merged, self._runs[level] = self._runs[level], []
            self._add_run(heapq.merge(*map(_read_run, merged)), level + 1)
            for path in merged:
                path.unlink()

    def _partial(self, index: int) -> Path:
        return self._folder / f".{self._split}.{index}"


def template_of(folder: Path, dataset: str, split: str) -> tfds.core.ShardedFileTemplate:
    """The names of a split's files."""
    return tfds.core.ShardedFileTemplate(folder, None, dataset, split, FORMAT)


def _write_run(path: Path, rows: Iterable[Row]) -> None:
    with open(path, "wb") as file:
        for digest, stored in rows:
            file.write(digest + len(stored).to_bytes(LENGTH_BYTES, "little"))
            file.write(stored)


def _read_run(path: Path) -> Iterator[Row]:
    size = hashlib.md5().digest_size
    with open(path, "rb") as file:
        while head := file.read(size + LENGTH_BYTES):
            yield head[:size], file.read(int.from_bytes(head[size:], "little"))


def serialize(row: Mapping[str, Any]) -> bytes:
    """A row as a `tf.train.Example`: strings, whole numbers, and arrays [n] of integers or floats, by column.
    The same row gives the same bytes.
    """
    example: Any = tf_example_pb2.Example()  # pyright: ignore[reportAttributeAccessIssue]
    for name, value in row.items():
        feature = example.features.feature[name]
        if isinstance(value, str):
            feature.bytes_list.value.append(value.encode())
            continue
        array = value if isinstance(value, np.ndarray) else np.atleast_1d(value)
        numbers = feature.float_list if array.dtype.kind == "f" else feature.int64_list
        if array.size:
            numbers.value.extend(array.tolist())
        else:
            numbers.SetInParent()  # a list without numbers is stored too
    return example.SerializeToString(deterministic=True)


def write_info(
    folder: Path,
    dataset: str,
    config: str,
    features: dict[str, Any],
    metadata: dict[str, Any],
    splits: Iterable[tfds.core.SplitInfo],
) -> None:
    """Writes `dataset_info.json`, `features.json` and `metadata.json`, by which TFDS reads the folder."""
    identity = tfds.core.DatasetIdentity(dataset, tfds.core.Version(VERSION), str(folder), __name__, config)
    info = tfds.core.DatasetInfo(
        builder=identity,
        description=__doc__,
        features=tfds.features.FeaturesDict(features),
        metadata=tfds.core.MetadataDict(metadata),
    )
    info.set_file_format(FORMAT)
    info.set_splits(tfds.core.SplitDict(splits))
    info.write_to_directory(folder)
