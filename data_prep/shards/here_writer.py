"""Shards written by this process, in one pass over the rows."""

import collections
import dataclasses
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import tensorflow_datasets as tfds

from data_prep.shards.contents import Contents, grouped
from data_prep.shards.counts import Counts
from data_prep.shards.shard_files import SplitFiles
from data_prep.shards.survey import Survey, survey_rows
from spirit_jax.core.progress import track
from spirit_jax.datasets.shards import DATASET
from spirit_jax.tokens.interleave import Record

GROUP_ROWS, GROUP_LETTERS = 1024, 2**22  # rows that are tokenised together: as many, or with so many letters


@dataclasses.dataclass(frozen=True)
class HereWriter:
    """This process, in one pass over the rows."""

    contents: Contents

    def survey(self) -> Survey:
        """As `token_shards.Writer` says."""
        return survey_rows(self.contents)

    def write(self, folder: Path, survey: Survey) -> tuple[list[tfds.core.SplitInfo], Mapping[str, Counts]]:
        """As `token_shards.Writer` says."""
        files = {name: SplitFiles(folder, DATASET, name) for name in survey.splits}
        counts = self.contents.new_counts()
        for rows, records in tokenised(self.contents):
            for example in self.contents.examples(rows, records, counts):
                files[example.split].add(example.key, example.stored)
        return [split.finish() for split in files.values()], counts


def tokenised(contents: Contents) -> Iterator[tuple[list[dict], list[Record]]]:
    """All rows in groups, with their records: a thread makes those of the next group while one is used."""
    waiting: collections.deque[tuple[list[dict], Future]] = collections.deque()
    with ThreadPoolExecutor(1) as thread:
        for group in grouped(track(contents.rows(), "shards", unit="rows"), GROUP_ROWS, GROUP_LETTERS):
            waiting.append((group, thread.submit(contents.records, group)))
            if len(waiting) > 1:
                rows, future = waiting.popleft()
                yield rows, future.result()
        for rows, future in waiting:
            yield rows, future.result()
