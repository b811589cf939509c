"""The files of a TFDS data set, written as its rows come. They have the order that TFDS gives them, by a hash
of split and key, and each file has the rows of an equal part of the hashes.

TFDS's own writer without Beam needs TensorFlow for more than 1 GB. Here rows wait
in sorted runs on disk, which are merged at the end, so that memory does not grow with the rows.
"""

import dataclasses
import hashlib
import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from tensorflow_datasets.core import shuffle
from tensorflow_datasets.proto import tf_example_pb2

FILE_BYTES = 2**27  # of the rows of one file, as stored
RUN_BYTES = 2**24  # of the rows that are kept in memory
FAN = 64  # runs that are merged at once
VERSION = "1.0.0"
FORMAT = "array_record"
# TFDS's, but for zstd's first level: of texts it is as small as the third, the default, in half the time
OPTIONS = "group_size:1,zstd:1"
LENGTH_BYTES = 4

Row = tuple[bytes, bytes]  # hash of split and key; the row as stored


@dataclasses.dataclass(frozen=True)
class Size:
    """Of some rows of a split: how many, their bytes as stored, and the largest hash of a key."""

    rows: int
    bytes: int
    largest: bytes

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "Size":
        """Of one row or more."""
        return cls(len(rows), sum(len(stored) for _, stored in rows), max(digest for digest, _ in rows))

    def __add__(self, other: "Size") -> "Size":
        return Size(self.rows + other.rows, self.bytes + other.bytes, max(self.largest, other.largest))

    def places(self, file_bytes: int) -> Callable[[Row], int]:
        """Gives the number of a row's file, if these are all rows of the split and files have so many bytes,
        about. There may be files without rows.
        """
        files = max(1, min(-(-self.bytes // file_bytes), self.rows))
        largest = int.from_bytes(self.largest, "big")
        return lambda row: shuffle.get_bucket_number(int.from_bytes(row[0], "big"), files, largest)


class SplitFiles:
    """One split while it is written: its files are FOLDER/DATASET-SPLIT.array_record-NNNNN-of-NNNNN.

    They are written by `finish`.
    """

    def __init__(self, folder: Path, dataset: str, split: str):
        self._folder, self._dataset, self._split = folder, dataset, split
        self._salt = hashlib.md5(split.encode())
        self._rows: list[Row] = []  # in memory
        self._runs: list[list[Path]] = []  # on disk: those of each level are FAN times as long as of the last
        self._made = self._held_bytes = 0
        self._size = Size(0, 0, b"")  # of the runs

    def add(self, key: str, stored: bytes) -> None:
        """Takes a row as `serialize` gives it. Keys must differ."""
        self._rows.append((hash_key(self._salt, key), stored))
        self._held_bytes += len(stored)
        if self._held_bytes >= RUN_BYTES:
            self._set_down()

    def finish(self) -> tfds.core.SplitInfo:
        """Writes the files, and returns what TFDS should know of them."""
        size = self._size + Size.of(self._rows) if self._rows else self._size
        self._rows.sort()
        runs = [path for level in self._runs for path in level]
        rows = heapq.merge(self._rows, *map(_read_run, runs)) if runs else iter(self._rows)
        partials, lengths = [], []
        for place, group in itertools.groupby(rows, size.places(FILE_BYTES)):
            partials.append(self._folder / f".{self._split}.{place}")
            lengths.append(write_file(partials[-1], group))
        for path in runs:
            path.unlink()
        return name_files(
            partials, lengths, size.bytes, template_of(self._folder, self._dataset, self._split)
        )

    def _set_down(self) -> None:
        """The rows in memory become a run on disk."""
        self._rows.sort()
        self._add_run(self._rows, 0)
        self._size += Size.of(self._rows)
        self._rows, self._held_bytes = [], 0

    def _add_run(self, rows: Iterable[Row], level: int) -> None:
        """Writes a run; FAN runs of a level become one of the next."""
        if level == len(self._runs):
            self._runs.append([])
        path = self._folder / f".{self._split}.run{self._made}"
        self._made += 1
        with open(path, "wb") as file:
            file.writelines(pack_rows(rows))
        self._runs[level].append(path)
        if len(self._runs[level]) == FAN:
            merged, self._runs[level] = self._runs[level], []
            self._add_run(heapq.merge(*map(_read_run, merged)), level + 1)
            for path in merged:
                path.unlink()


def hash_key(salt: Any, key: str) -> bytes:
    """The hash by which TFDS orders rows. salt: `hashlib.md5` of the split's name."""
    digest = salt.copy()
    digest.update(key.encode())
    return digest.digest()


def write_file(path: Path, rows: Iterable[Row]) -> int:
    """Writes rows in their order; returns how many there are."""
    writer, count = ArrayRecordWriter(str(path), OPTIONS), 0
    for _, stored in rows:
        writer.write(stored)
        count += 1
    writer.close()
    return count


def name_files(
    partials: Sequence[Path], lengths: Sequence[int], size: int, template: tfds.core.ShardedFileTemplate
) -> tfds.core.SplitInfo:
    """Gives the files of a split, in their order, their names; returns what TFDS should know of them. size:
    bytes of all rows.
    """
    for index, path in enumerate(partials):
        path.rename(template.sharded_filepath(shard_index=index, num_shards=len(partials)))
    return tfds.core.SplitInfo(template.split, list(lengths), size, template)


def template_of(folder: Path, dataset: str, split: str) -> tfds.core.ShardedFileTemplate:
    """The names of a split's files."""
    return tfds.core.ShardedFileTemplate(folder, None, dataset, split, FORMAT)


def pack_rows(rows: Iterable[Row]) -> Iterator[bytes]:
    """Rows as bytes, one after the other."""
    for digest, stored in rows:
        yield digest + len(stored).to_bytes(LENGTH_BYTES, "little")
        yield stored


def unpack_rows(file: BinaryIO) -> Iterator[Row]:
    """The rows in a file of what `pack_rows` gave."""
    size = hashlib.md5().digest_size
    while head := file.read(size + LENGTH_BYTES):
        yield head[:size], file.read(int.from_bytes(head[size:], "little"))


def _read_run(path: Path) -> Iterator[Row]:
    with open(path, "rb") as file:
        yield from unpack_rows(file)


def serialize(row: Mapping[str, Any]) -> bytes:
    """A row as a `tf.train.Example`: strings, whole numbers, and arrays [n] of integers or floats, by column.
    The same row gives the same bytes.
    """
    example: Any = tf_example_pb2.Example()  # pyright: ignore[reportAttributeAccessIssue]
    features = example.features.feature
    for name, value in row.items():
        if isinstance(value, str):
            features[name].bytes_list.value.append(value.encode())
            continue
        array = value if isinstance(value, np.ndarray) else np.atleast_1d(value)
        numbers = features[name].float_list if array.dtype.kind == "f" else features[name].int64_list
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
