"""The files of a TFDS data set, written as its rows come: in blocks, each shuffled and written to one file.

TFDS's own writer holds a split in memory until all of its rows are there, and needs TensorFlow for more than
1 GB. A split of one block has the order that TFDS gives it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from tensorflow_datasets.proto import tf_example_pb2

BLOCK_BYTES = 2**27  # of the rows of one file, as stored
VERSION = "1.0.0"
FORMAT = "array_record"


class SplitFiles:
    """One split while it is written: its files are FOLDER/DATASET-SPLIT.array_record-NNNNN-of-NNNNN.

    They have those names once `finish` is called.
    """

    def __init__(self, folder: Path, dataset: str, split: str):
        self._template = tfds.core.ShardedFileTemplate(folder, None, dataset, split, FORMAT)
        self._folder, self._split, self._salt = folder, split, hashlib.md5(split.encode())
        self._block: list[tuple[bytes, bytes]] = []
        self._block_bytes, self._bytes, self._lengths = 0, 0, []

    def add(self, key: str, row: Mapping[str, Any]) -> None:
        """Takes a row: strings, whole numbers, and arrays [n] of integers or floats, by column. Keys must
        differ.
        """
        digest = self._salt.copy()
        digest.update(key.encode())
        stored = serialize(row)
        self._block.append((digest.digest(), stored))
        self._block_bytes += len(stored)
        if self._block_bytes >= BLOCK_BYTES:
            self._write_block()

    def finish(self) -> tfds.core.SplitInfo:
        """Writes what is left, and names the files."""
        if self._block:
            self._write_block()
        count = len(self._lengths)
        for index in range(count):
            self._partial(index).rename(self._template.sharded_filepath(shard_index=index, num_shards=count))
        return tfds.core.SplitInfo(self._split, self._lengths, self._bytes, self._template)

    def _write_block(self) -> None:
        writer = ArrayRecordWriter(str(self._partial(len(self._lengths))), "group_size:1")
        self._block.sort()
        for _, stored in self._block:
            writer.write(stored)
        writer.close()
        self._lengths.append(len(self._block))
        self._bytes += self._block_bytes
        self._block, self._block_bytes = [], 0

    def _partial(self, index: int) -> Path:
        return self._folder / f".{self._split}.{index}"


def serialize(row: Mapping[str, Any]) -> bytes:
    """A row as a `tf.train.Example`. The same row gives the same bytes."""
    example: Any = tf_example_pb2.Example()  # pyright: ignore[reportAttributeAccessIssue]
    for name, value in row.items():
        feature = example.features.feature[name]
        if isinstance(value, str):
            feature.bytes_list.value.append(value.encode())
            continue
        array = np.atleast_1d(value)
        numbers = feature.float_list if array.dtype.kind == "f" else feature.int64_list
        numbers.SetInParent()  # a list without numbers is stored too
        numbers.value.extend(array.tolist())
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
